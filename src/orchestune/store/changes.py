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


class OpenFold(Struct, frozen=True, gc=False):
    """A pending or active fold."""

    trial: int
    fold: int
    state: str
    failures: int


class OpenTrialRow(Struct, frozen=True, gc=False):
    """A queued or running trial."""

    number: int
    state: str


_LIVE = "SELECT id, state, trial, fold FROM attempts WHERE experiment = :experiment AND state IN ('leased', 'running')"
_OPEN = (
    "SELECT trial, fold, state, failures FROM folds WHERE experiment = :experiment AND state IN ('pending', 'active')"
)
LIVE_ATTEMPTS = Query(LeasedAttempt, _LIVE)
LIVE_ATTEMPTS_OF_TRIAL = Query(LeasedAttempt, f"{_LIVE} AND trial = :trial")
OPEN_FOLDS = Query(OpenFold, _OPEN)
OPEN_FOLDS_OF_TRIAL = Query(OpenFold, f"{_OPEN} AND trial = :trial")
OPEN_TRIALS = Query(
    OpenTrialRow, "SELECT number, state FROM trials WHERE experiment = :experiment AND state IN ('queued', 'running')"
)
CANCEL_ATTEMPT = """
UPDATE attempts SET state = :state, reason = :reason, finished_at = :now WHERE id = :id AND state = :old
"""
CANCEL_TRIAL = """
UPDATE trials SET state = :state, reason = :reason, finished_at = :now
WHERE experiment = :experiment AND number = :number AND state = :old
"""
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
