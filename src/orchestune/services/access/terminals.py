"""Authorization for both ends of a trial's terminal. Terminal traffic is not recorded.

Among users who share a token this prevents mistakes, not attacks: they state their names themselves.
"""

from __future__ import annotations

from orchestune.errors import Denied, NotFound
from orchestune.services.core import Caller, Core
from orchestune.services.ownership import may_act_as_owner
from orchestune.store import experiments, hot, workers
from orchestune.store.hot import AttemptInTrial
from orchestune.worker.job import TOLD


def of_user(core: Core, ref: str, attempt: str, caller: Caller) -> AttemptInTrial:
    """Return the attempt; it may be over, because its last output can still be read.

    Raises NotFound unless the experiment has the attempt and its trials are terminals, Denied unless `caller` opened
    it or owns the server.
    """
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        found = session.row(hot.SELECT_ATTEMPT, {"id": attempt, "experiment": experiment.id})
    if found is None:
        raise NotFound(f"{experiment.handle} has no such attempt")
    if not may_act_as_owner(caller, experiment):
        raise Denied(f"the terminal of {experiment.handle} is {experiment.owner}'s", "open one of your own")
    if TOLD not in experiment.specification.env:
        raise NotFound(f"the trials of {experiment.handle} are no terminals", "open one with `orchestune shell`")
    return found


def of_worker(core: Core, worker: str, attempt: str) -> AttemptInTrial:
    """Return the attempt. Raises NotFound unless it is open, that worker runs it, and its trial is a terminal."""
    with core.store.reading() as session:
        row = workers.get(session, worker)
        experiment = experiments.get(session, row.experiment) if row else None
        where = {"id": attempt, "experiment": experiment.id if experiment else ""}
        found = session.row(hot.SELECT_ATTEMPT, where)
    if experiment is None or found is None or found.worker != worker or not found.open:
        raise NotFound("this worker runs no such attempt")
    if TOLD not in experiment.specification.env:
        raise NotFound("this attempt is no terminal")
    return found
