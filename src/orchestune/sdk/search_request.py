"""What is searched for, read from Python values by the reader of experiment files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.config.sources.results_file import UnreadableResults, read
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import MAPPED, WarmStart, mapped, unusable
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from orchestune.sdk.plain_values import plain_value, read_keys

_ANYTHING = {"name": "search", "run": "true", "budget": 1}
"""what an experiment file must have beside these keys"""


@dataclass(frozen=True)
class SearchRequest:
    """A space, metrics and an engine, all of them checked."""

    space: Space
    metrics: tuple[Metric, ...]
    engine: str
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "parameters": self.space.to_json(),
            "constraints": self.space.texts(),
            "metrics": [metric.to_json() for metric in self.metrics],
            "engine": self.engine,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchRequest:
        """The inverse of `to_json`."""
        metrics = tuple(Metric.from_json(metric) for metric in document["metrics"])
        space = Space.from_json(document["parameters"], document.get("constraints", ()))
        return cls(space, metrics, document["engine"], document["options"])


def read_request(
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    engine: str | Mapping[str, Any],
    constraints: str | Sequence[str] | None = None,
) -> SearchRequest:
    """The request; BadInput with every mistake, by the key it is at."""
    document: dict[str, Any] = {"parameters": parameters, "metrics": metrics, "engine": engine}
    document |= {"constraints": constraints} if constraints else {}
    found = read_keys({**_ANYTHING, **document}, "search", "parameters, metrics or engine").specification
    return SearchRequest(found.space, found.metrics, found.engine, found.engine_options)


def read_warm_start(found: Any, space: Space, metrics: Sequence[Metric]) -> WarmStart:
    """What a file, a DataFrame or a list of dictionaries holds. BadInput where that is nothing."""
    name, documents = _documents(found)
    made = mapped(name, documents, space, metrics)
    if not made.observations:
        raise BadInput.one(unusable(made), "warm_start", MAPPED)
    return made


def _documents(found: Any) -> tuple[str, Sequence[Mapping[str, Any]]]:
    if isinstance(found, (str, os.PathLike)):
        try:
            return os.fspath(found), read(Path(found))
        except UnreadableResults as exc:
            hint = "an experiment's results are given as `Experiment.load(HANDLE).trials()`"
            raise BadInput.one(str(exc), "warm_start", hint) from exc
    if hasattr(found, "to_dict") and hasattr(found, "columns"):
        found = found.to_dict("records")
    if isinstance(found, Sequence) and all(isinstance(item, Mapping) for item in found):
        named = [{str(name): value for name, value in item.items()} for item in found]  # columns may have several each
        plain = json.loads(json.dumps(named, default=_written))
        return "the list", plain
    raise BadInput.one("is no path, no DataFrame and no list of dictionaries", "warm_start")


def _written(value: Any) -> Any:
    """As `plain_value`, and as a text what has no other spelling: tables have times and durations beside results."""
    try:
        return plain_value(value)
    except TypeError:
        return str(value)
