"""Who may be at which end of a trial's terminal. What goes through it is not recorded.

Among those who share a token this keeps mistakes away, and nobody who means it: they say their names themselves.
"""

from __future__ import annotations

from orchestune.errors import Denied, NotFound
from orchestune.services.core import Caller, Core
from orchestune.services.ownership import may_act_as_owner
from orchestune.store import attempts, experiments, workers


def of_user(core: Core, ref: str, attempt: str, caller: Caller) -> None:
    """NotFound unless the attempt is one of that experiment; Denied but for who opened it, and owners of the server."""
    with core.store.reading() as session:
        experiment = experiments.find(session, ref)
        found = attempts.find(session, attempt)
    if found is None or found.experiment != experiment.id:
        raise NotFound(f"{experiment.handle} has no such attempt")
    if not may_act_as_owner(caller, experiment):
        raise Denied(f"the terminal of {experiment.handle} is {experiment.owner}'s", "open one of your own")


def of_worker(core: Core, worker: str, attempt: str) -> None:
    """NotFound unless that worker runs the attempt."""
    with core.store.reading() as session:
        found, row = attempts.find(session, attempt), workers.get(session, worker)
    if found is None or row is None or found.worker != row.id:
        raise NotFound("this worker has no such attempt")
