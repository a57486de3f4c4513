"""Authorization for both ends of a trial's terminal. Terminal traffic is not recorded.

Among users who share a token this prevents mistakes, not attacks: they state their names themselves.
"""

from __future__ import annotations

from orchestune.errors import Denied, NotFound
from orchestune.services.core import Caller, Core
from orchestune.services.ownership import may_act_as_owner
from orchestune.store import experiments, workers
from orchestune.store.statements.attempts import SELECT_ATTEMPT, AttemptInTrial
from orchestune.worker.job import TERMINAL_VARIABLE


def of_user(core: Core, ref: str, attempt: str, caller: Caller) -> AttemptInTrial:
    """Return the attempt; it may be over, because its last output can still be read.

    Raises NotFound unless the experiment has the attempt and its trials are terminals, Denied unless `caller` opened
    it or owns the server.
    """
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        row = session.row(SELECT_ATTEMPT, {"id": attempt, "experiment": experiment.id})
    if row is None:
        raise NotFound(f"{experiment.handle} has no such attempt")
    if not may_act_as_owner(caller, experiment):
        raise Denied(f"the terminal of {experiment.handle} belongs to {experiment.owner}", "open your own")
    if TERMINAL_VARIABLE not in experiment.specification.env:
        raise NotFound(f"the trials of {experiment.handle} have no terminal", "open one with `orchestune shell`")
    return row


def of_worker(core: Core, worker: str, attempt: str) -> AttemptInTrial:
    """Return the attempt. Raises NotFound unless it is open, that worker runs it, and its trial is a terminal."""
    with core.store.reading() as session:
        worker_row = workers.get(session, worker)
        experiment = experiments.get(session, worker_row.experiment) if worker_row else None
        where = {"id": attempt, "experiment": experiment.id if experiment else ""}
        row = session.row(SELECT_ATTEMPT, where)
    if experiment is None or row is None or row.worker != worker or not row.accepts_result:
        raise NotFound("this worker does not run this attempt")
    if TERMINAL_VARIABLE not in experiment.specification.env:
        raise NotFound("this attempt has no terminal")
    return row
