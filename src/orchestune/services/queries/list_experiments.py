"""The list of experiments with search, filter, sort order and pagination."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress

from orchestune import documents
from orchestune.domain.lifecycle.states import ExperimentState
from orchestune.errors import BadInput, NotFound
from orchestune.services.core import Core
from orchestune.services.queries.read_experiments import estimated, statuses_of, statuses_of_ids
from orchestune.store import experiment_lists, experiments
from orchestune.store.experiment_lists import ExperimentOutline
from orchestune.store.experiments import ExperimentRow

_STATES = list(ExperimentState)
_ORDERS: dict[str, Callable[[ExperimentOutline], float | str]] = {
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
) -> documents.StatusPage:
    """Return one page of matching experiments, with the numbers of matching (`total`) and of all (`outlines`) ones.

    `search`: words that must occur in name, handle, owner, cluster or labels. `sort`: a column, descending if it starts
    with `-`; ties are newest first. Raises BadInput if `sort` is unknown.
    """
    order = _ORDERS.get(sort.removeprefix("-"))
    if order is None:
        raise BadInput.one(f"unknown sort order: '{sort}'", key="sort", hint=f"available are {', '.join(_ORDERS)}")
    with core.store.reading() as session:
        outlines = experiment_lists.outlines(session, folder=folder, hidden=hidden)
        words = search.casefold().split()
        matching = [row for row in outlines if (not state or row.state == state) and (not words or _fits(row, words))]
        if sort != "age":  # already in this order
            matching.sort(key=order, reverse=sort.startswith("-"))
        page = [row.id for row in matching[offset : offset + limit]]
        items = statuses_of_ids(core, session, page, details=False)
    return {"items": items, "next": None, "total": len(matching), "known": len(outlines)}


def several(core: Core, refs: Sequence[str]) -> list[documents.Status]:
    """Return the `Status` of each existing experiment. Raises NotFound if none exists."""
    rows: dict[str, ExperimentRow] = {}
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
                rows.setdefault(row.id, row)
        if missing is not None and not rows:
            raise missing
        return statuses_of(core, session, list(rows.values()), details=False)


def _fits(row: ExperimentOutline, words: Sequence[str]) -> bool:
    labels = [f"{name}={value}" for name, value in json.loads(row.labels).items()] if row.labels != "{}" else []
    text = " ".join([row.name, row.handle, row.owner, row.cluster, *labels]).casefold()
    return all(word in text for word in words)
