"""Statements about what only grows: log segments and events."""

from __future__ import annotations

INSERT_SEGMENT = """
INSERT INTO log_segments (experiment, seq, attempt, trial, "offset", length, gap, at, data) VALUES (:experiment, :seq,
:attempt, :trial, :offset, :length, :gap, :at, :data)
"""
MOVE_SEGMENT = """
UPDATE log_segments SET object_key = :key, object_offset = :at, data = NULL
WHERE experiment = :experiment AND seq = :seq
"""
INSERT_EVENT = """
INSERT INTO events (experiment, seq, at, actor, kind, data) VALUES (:experiment, :seq, :at, :actor, :kind, :data)
"""
DELETE_REPEATED_EVENTS = """
DELETE FROM events WHERE experiment = :experiment AND seq > :after AND seq <= :upto
AND kind IN ('artifacts_kept', 'checkpoint_published', 'metric_reported', 'worker_started')
"""
