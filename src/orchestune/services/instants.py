"""Instants in requests."""

from __future__ import annotations

from datetime import datetime

from orchestune.errors import BadInput


def time_of(text: str | None) -> float | None:
    """Parse an ISO 8601 time into seconds since 1970. Raises BadInput if it is invalid."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise BadInput.one(f"'{text}' is no time; write it as 2026-01-31T12:00:00Z", key="since") from None
