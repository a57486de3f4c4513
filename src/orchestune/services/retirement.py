"""What a server knows of the end of its cluster: when it comes, and that it has begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestune.errors import Conflict, UsageError
from orchestune.services.core import Core
from orchestune.services.ending import Retirement
from orchestune.services.read_experiments import rfc3339
from orchestune.store import archive, workers
from orchestune.store.experiments import unfinished

Document = dict[str, Any]
_MARK = "retiring"
_HINT = "`orchestune cluster create` makes a new one, `orchestune import` brings the records there"


def read(file: Path, state: Path) -> Retirement:
    """What the file says that `cluster create` left for the server. UsageError where it cannot be read."""
    try:
        found = json.loads(file.read_text())
        return Retirement(float(found.pop("after")), str(found.pop("archive")), found, state / _MARK)
    except (OSError, ValueError, KeyError, AttributeError) as exc:
        raise UsageError(f"{file} does not say when this cluster goes: {exc}") from exc


def forget(state: Path) -> None:
    """The end was called off while no server ran."""
    (state / _MARK).unlink(missing_ok=True)


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


def kept(core: Core) -> list[tuple[str, int]]:
    """Every experiment with the number of its last event, which changes when it does."""
    with core.store.reading() as session:
        return archive.everything(session)


def document(core: Core) -> Document | None:
    """As the API tells it; None where the cluster stays until somebody destroys it."""
    found = core.retirement
    if found is None:
        return None
    return {
        "after": found.after,
        "archive": found.archive,
        "idle_since": rfc3339(found.since),
        "destroys_at": rfc3339(None if found.since is None else found.since + found.after),
        "begun": found.begun,
        "trouble": found.trouble,
    }
