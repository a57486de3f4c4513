"""Statements with which services finish, cancel and stop attempts, folds and trials, and record their files."""

from __future__ import annotations

from msgspec import Struct

from orchestune.store.rows import Query


class LeasedAttempt(Struct, frozen=True, gc=False):
    """An attempt that holds a lease."""

    id: str
    state: str
    trial: int
    fold: int


class OpenTrialRow(Struct, frozen=True, gc=False):
    """A queued or running trial."""

    number: int
    state: str


_IS_LIVE = "experiment = :experiment AND state IN ('leased', 'running')"
_IS_OPEN = "experiment = :experiment AND state IN ('queued', 'running')"
_LIVE = f"SELECT id, state, trial, fold FROM attempts WHERE {_IS_LIVE}"
LIVE_ATTEMPTS = Query(LeasedAttempt, _LIVE)
LIVE_ATTEMPTS_OF_TRIAL = Query(LeasedAttempt, f"{_LIVE} AND trial = :trial")
OPEN_TRIALS = Query(OpenTrialRow, f"SELECT number, state FROM trials WHERE {_IS_OPEN}")
OPEN_TRIAL = Query(OpenTrialRow, f"SELECT number, state FROM trials WHERE {_IS_OPEN} AND number = :trial")
_PENDING = "SELECT COUNT(*) AS count FROM folds WHERE experiment = :experiment AND state = 'pending'"
PENDING_COUNT = Query(int, _PENDING)
PENDING_COUNT_OF_TRIAL = Query(int, f"{_PENDING} AND trial = :trial")
# One statement for all rows: an experiment may have 100,000 open folds, of which each took 40 µs under the lock.
CANCEL_ATTEMPTS = f"UPDATE attempts SET state = :state, reason = :reason, finished_at = :now WHERE {_IS_LIVE}"
CANCEL_ATTEMPTS_OF_TRIAL = f"{CANCEL_ATTEMPTS} AND trial = :trial"
CANCEL_FOLDS = """
UPDATE folds SET state = :state, not_before = 0.0, is_isolated = FALSE
WHERE experiment = :experiment AND state IN ('pending', 'active')
"""
CANCEL_FOLDS_OF_TRIAL = f"{CANCEL_FOLDS} AND trial = :trial"
CANCEL_TRIALS = f"UPDATE trials SET state = :state, reason = :reason, finished_at = :now WHERE {_IS_OPEN}"
CANCEL_TRIAL = f"{CANCEL_TRIALS} AND number = :trial"
ORDER_LIVE = """
UPDATE attempts SET stop_order = :stop_order WHERE experiment = :experiment AND state IN ('leased', 'running')
AND stop_order IS NULL
"""
FORGET_LOST_ATTEMPTS = (
    "UPDATE trials SET lost_attempts = 0 WHERE experiment = :experiment AND state IN ('queued', 'running')"
)
HAS_ISOLATED = Query(
    int,
    """
SELECT 1 AS is_isolated FROM folds WHERE experiment = :experiment AND state = 'active' AND is_isolated = TRUE LIMIT 1
""",
)


class NewestLease(Struct, frozen=True, gc=False):
    """The fencing token of the newest attempt of a fold, and the state of the requested attempt."""

    lease_token: int
    state: str


NEWEST_LEASE = Query(
    NewestLease,
    """
SELECT t.lease_token, a.state FROM folds t JOIN attempts a ON a.experiment = t.experiment AND a.trial = t.trial
AND a.fold = t.fold WHERE a.id = :id
""",
)
CHANGE_CODE_OF_QUEUED = """
UPDATE trials SET bundle = :bundle, revision = :revision WHERE experiment = :experiment AND state = 'queued'
AND started_at IS NULL
"""
COUNT_ARTIFACTS = Query(
    int,
    """
SELECT COUNT(*) AS count FROM artifacts WHERE experiment = :experiment AND trial = :trial AND attempt = :attempt
""",
)
FILES_ARRIVED = "UPDATE attempts SET files_state = NULL, files_message = NULL WHERE id = :attempt"
FILES_REFUSED = """
UPDATE attempts SET files_state = 'lost', files_message = :message WHERE id = :attempt AND files_state = 'uploading'
"""
FILES_LOST = """
UPDATE attempts SET files_state = 'lost', files_message = :message WHERE worker = :worker AND state = 'succeeded'
AND files_state = 'uploading'
"""
