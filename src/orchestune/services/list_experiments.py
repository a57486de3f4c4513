"""The list of experiments as people look through it: by words, state and order, a part at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from orchestune.domain.states import ExperimentState
from orchestune.errors import BadInput, NotFound
from orchestune.services.core import Core
from orchestune.services.read_experiments import Document, document, estimated
from orchestune.services.recent import Recent
from orchestune.store import experiments
from orchestune.store.experiments import ExperimentRow, Outline
from orchestune.store.session import Session

_OVER: Recent[Document] = Recent(kept=500)
_STATES = list(ExperimentState)
_ORDERS: dict[str, Callable[[Outline], Any]] = {
    "name": lambda row: row.name.casefold(),
    "state": lambda row: _STATES.index(ExperimentState(row.state)),
    "progress": lambda row: row.finished / row.budget,
    "running": lambda row: row.running,
    "failed": lambda row: row.failed,
    "owner": lambda row: row.owner.casefold(),
    "age": lambda row: -row.created_at,
}


def listed(
    core: Core,
    *,
    search: str = "",
    state: str | None = None,
    sort: str = "age",
    offset: int = 0,
    limit: int = 50,
    folder: str | None = None,
    hidden: bool = False,
) -> Document:
    """`limit` of the experiments that fit from `offset` on, how many fit, and how many there are: `items` are `Status`.

    `search` is looked for in names, handles, owners, clusters and labels. `sort`: a column, downwards where it begins
    with `-`; among equals the newest one comes first. BadInput.
    """
    order = _ORDERS.get(sort.removeprefix("-"))
    if order is None:
        raise BadInput.one(f"there is no order '{sort}'", key="sort", hint=f"there are {', '.join(_ORDERS)}")
    with core.store.reading() as session:
        known = experiments.outlines(session, folder=folder, hidden=hidden)
        words = search.casefold().split()
        found = [row for row in known if (not state or row.state == state) and (not words or _fits(row, words))]
        if sort != "age":  # they come like that
            found.sort(key=order, reverse=sort.startswith("-"))
        wanted = [row.id for row in found[offset : offset + limit]]
        items = [_document(core, session, row) for row in experiments.of_ids(session, wanted)]
    return {"items": items, "next": None, "total": len(found), "known": len(known)}


def several(core: Core, refs: Sequence[str]) -> list[Document]:
    """The `Status` of each that is still there. NotFound where none is."""
    found: dict[str, Document] = {}
    missing: NotFound | None = None
    for ref in refs:
        with suppress(NotFound):
            estimated(core, ref)
    with core.store.reading() as session:
        for ref in refs:
            try:
                row = experiments.find(session, ref)
            except NotFound as exc:
                missing = exc
            else:
                found.setdefault(row.id, _document(core, session, row))
    if missing is not None and not found:
        raise missing
    return list(found.values())


def _document(core: Core, session: Session, row: ExperimentRow) -> Document:
    """Its `Status`. Most of a list are over, and stay as they are: what each looks up costs more than the list."""

    def made() -> Document:
        return document(core, session, row, details=False)

    if not row.state.over:
        return made()
    return _OVER.get((core.url, row.id), (row, core.estimates.known(session, row)), made)


def _fits(row: Outline, words: Sequence[str]) -> bool:
    labels = [f"{name}={value}" for name, value in json.loads(row.labels).items()] if row.labels != "{}" else []
    text = " ".join([row.name, row.handle, row.owner, row.cluster, *labels]).casefold()
    return all(word in text for word in words)
