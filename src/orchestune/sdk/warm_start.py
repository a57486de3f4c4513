"""Collects the results of a warm start: from files, and from experiments on a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestune.client.api import Client
from orchestune.domain.search.warm_start import MAPPED, WarmStart, WarmStarts, mapped, to_json, together, unusable
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput


def gather(client: Callable[[], Client], sources: WarmStarts, specification: Specification) -> WarmStart | None:
    """Return all results of the warm start, with notes on those from a server; None if there are none.

    `client` is called if the warm start names an experiment. Raises BadInput if an experiment has no usable results,
    and NotFound if it does not exist.
    """
    fetched = [_of_experiment(client(), ref, specification) for ref in sources.experiments]
    if not fetched and not sources.known:
        return None
    both = together([*fetched, *sources.known], specification.space, specification.metrics)
    notes = tuple(f"warm_start: {note}" for start in fetched for note in start.notes)
    return WarmStart(both.source, both.observations, notes)


def request(start: WarmStart | None) -> dict[str, Any]:
    """Build the part of a create request with the warm start."""
    if start is None:
        return {}
    return {
        "warm_start": {"source": start.source, "results": [to_json(observation) for observation in start.observations]}
    }


def _of_experiment(client: Client, ref: str, specification: Specification) -> WarmStart:
    status = client.experiment(ref)
    trials: list[Mapping[str, Any]] = [{**trial, "folds": status["folds"]} for trial in client.trials(ref)]
    start = mapped(status["handle"], trials, specification.space, specification.metrics)
    if not start.observations:
        raise BadInput.one(unusable(start), "warm_start", MAPPED)
    return start
