"""The results that a search begins with: those that stand at hand, and those that a server has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestune.client.api import Client
from orchestune.domain.search.warm_start import MAPPED, WarmStart, WarmStarts, mapped, to_json, together, unusable
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput


def gathered(client: Callable[[], Client], wanted: WarmStarts, specification: Specification) -> WarmStart | None:
    """Everything that the search begins with, and notes about what came from a server. None where that is nothing.

    `client` is called where an experiment is named. BadInput where one gives nothing, NotFound where there is none.
    """
    fetched = [_of_experiment(client(), ref, specification) for ref in wanted.experiments]
    if not fetched and not wanted.known:
        return None
    both = together([*fetched, *wanted.known], specification.space, specification.metrics)
    notes = tuple(f"warm_start: {note}" for made in fetched for note in made.notes)
    return WarmStart(both.source, both.observations, notes)


def request(found: WarmStart | None) -> dict[str, Any]:
    """The part of the request that starts an experiment."""
    if found is None:
        return {}
    return {"warm_start": {"source": found.source, "results": [to_json(seen) for seen in found.observations]}}


def _of_experiment(client: Client, ref: str, specification: Specification) -> WarmStart:
    status = client.experiment(ref)
    trials: list[Mapping[str, Any]] = [{**trial, "folds": status["folds"]} for trial in client.trials(ref)]
    made = mapped(status["handle"], trials, specification.space, specification.metrics)
    if not made.observations:
        raise BadInput.one(unusable(made), "warm_start", MAPPED)
    return made
