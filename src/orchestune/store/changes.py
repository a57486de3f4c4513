"""Statements by which services end, cancel and hand in attempts, tasks and trials. Parameters are named."""

from msgspec import Struct

from orchestune.store.rows import Query

LIVE_ATTEMPTS = """
SELECT id, state, trial, fold FROM attempts WHERE experiment = :experiment AND state IN ('leased', 'running')
"""
OPEN_TASKS = """
SELECT trial, fold, state, failures FROM tasks WHERE experiment = :experiment AND state IN ('pending', 'active')
"""
OF_TRIAL = " AND trial = :trial"  # behind either of them
OPEN_TRIALS = "SELECT number, state FROM trials WHERE experiment = :experiment AND state IN ('queued', 'running')"
CANCEL_ATTEMPT = """
UPDATE attempts SET state = :state, reason = :reason, finished_at = :now WHERE id = :id AND state = :old
"""
CANCEL_TRIAL = """
UPDATE trials SET state = :state, reason = :reason, finished_at = :now
WHERE experiment = :experiment AND number = :number AND state = :old
"""
ORDER_LIVE = """
UPDATE attempts SET ordered = :ordered WHERE experiment = :experiment AND state IN ('leased', 'running')
AND ordered IS NULL
"""
FORGET_LOSSES = "UPDATE trials SET losses = 0 WHERE experiment = :experiment AND state IN ('queued', 'running')"
HAS_ISOLATED = "SELECT 1 FROM tasks WHERE experiment = :experiment AND state = 'active' AND isolated = 1 LIMIT 1"


class TaskOfAttempt(Struct, frozen=True, gc=False):
    """The state of an attempt, and the fencing token of the newest attempt of its task."""

    task_token: int
    state: str


TASK_OF_ATTEMPT = Query(
    TaskOfAttempt,
    """
SELECT t.token AS task_token, a.state FROM tasks t JOIN attempts a ON a.experiment = t.experiment AND a.trial = t.trial
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
SELECT COUNT(*) FROM artifacts WHERE experiment = :experiment AND trial = :trial AND attempt = :attempt
""",
)
FILES_ARRIVED = "UPDATE attempts SET reason = NULL WHERE id = :attempt AND state = :state"
FILES_REFUSED = """
UPDATE attempts SET reason = :reason WHERE id = :attempt AND state = :state AND reason LIKE :on_the_way
"""
FILES_LOST = """
UPDATE attempts SET reason = :reason WHERE worker = :worker AND state = :state AND reason LIKE :on_the_way
"""
