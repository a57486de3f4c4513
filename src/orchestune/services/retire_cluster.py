"""What the end of an idle cluster asks of its server: whether it may come, what is to be copied, what is refused."""

from __future__ import annotations

from orchestune import documents
from orchestune.errors import Conflict
from orchestune.ports.clock import rfc3339
from orchestune.services.core import Core
from orchestune.store import archive, workers
from orchestune.store.archive import Extent
from orchestune.store.experiments import unfinished

_HINT = "`orchestune cluster create` makes a new one, `orchestune import` brings the records there"


def refuse(core: Core) -> None:
    """Conflict once the end has begun: what came now would be lost."""
    if core.retirement is not None and core.retirement.begun:
        raise Conflict(
            f"this cluster was idle and is being destroyed; its records are in {core.retirement.archive}", _HINT
        )


def at_rest(core: Core) -> bool:
    """Nothing is unfinished, not even paused, and no worker is there. Blocking, short."""
    with core.store.reading() as session:
        return not unfinished(session) and not workers.are_there(session)


def kept(core: Core) -> list[Extent]:
    """Every experiment with the number of its last event, which changes when it does."""
    with core.store.reading() as session:
        return archive.everything(session)


def document(core: Core) -> documents.Retirement | None:
    """As the API tells it; None where the cluster stays until somebody destroys it."""
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
