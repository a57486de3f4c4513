"""Server side of an idle cluster's teardown: when it may start, which records to copy, which requests to refuse."""

from __future__ import annotations

from orchestune import documents
from orchestune.errors import Conflict
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.store import archive, workers
from orchestune.store.archive import Extent
from orchestune.store.experiment_lists import unfinished

_HINT = "`orchestune cluster create` makes a new one, `orchestune import` brings the records there"


def refuse(core: Core) -> None:
    """Raise Conflict once the teardown has started: new records would be lost."""
    if core.retirement is not None and core.retirement.begun:
        raise Conflict(
            f"this cluster was idle and is being destroyed; its records are in {core.retirement.archive}", _HINT
        )


def at_rest(core: Core) -> bool:
    """Return True if no experiment is unfinished (paused counts) and no worker exists. Blocks briefly on the store."""
    with core.store.reading() as session:
        return not unfinished(session) and not workers.any_present(session)


def all_extents(core: Core) -> list[Extent]:
    """Return every experiment with the number of its last event, which changes whenever the experiment does."""
    with core.store.reading() as session:
        return archive.everything(session)


def document(core: Core) -> documents.Retirement | None:
    """Return the teardown plan as an API document; None if the cluster has no idle timeout."""
    plan = core.retirement
    if plan is None:
        return None
    return {
        "after": plan.after,
        "archive": plan.archive,
        "idle_since": rfc3339(plan.since),
        "destroys_at": rfc3339(None if plan.since is None else plan.since + plan.after),
        "begun": plan.begun,
        "trouble": plan.trouble,
    }
