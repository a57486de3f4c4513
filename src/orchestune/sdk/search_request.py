"""The search space, metrics and engine of an `Optimizer`, parsed like an experiment file."""

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

_PLACEHOLDERS = {"name": "search", "run": "true", "budget": 1}
"""placeholders for the other required keys of an experiment file"""


@dataclass(frozen=True)
class SearchRequest:
    """A validated space, metrics and engine."""

    space: Space
    metrics: tuple[Metric, ...]
    engine: str
    options: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Convert the request to a JSON document."""
        return {
            "parameters": self.space.to_json(),
            "constraints": self.space.texts(),
            "metrics": [metric.to_json() for metric in self.metrics],
            "engine": self.engine,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchRequest:
        """Restore a request from `to_json`."""
        metrics = tuple(Metric.from_json(metric) for metric in document["metrics"])
        space = Space.from_json(document["parameters"], document.get("constraints", ()))
        return cls(space, metrics, document["engine"], document["options"])


def read_request(
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    engine: str | Mapping[str, Any],
    constraints: str | Sequence[str] | None = None,
) -> SearchRequest:
    """Parse the request. Raises BadInput with all problems by key."""
    document: dict[str, Any] = {"parameters": parameters, "metrics": metrics, "engine": engine}
    document |= {"constraints": constraints} if constraints else {}
    specification = read_keys({**_PLACEHOLDERS, **document}, "search", "parameters, metrics or engine").specification
    return SearchRequest(specification.space, specification.metrics, specification.engine, specification.engine_options)


def read_warm_start(source: Any, space: Space, metrics: Sequence[Metric]) -> WarmStart:
    """Read results from a file, a DataFrame or a list of dictionaries. Raises BadInput if none are usable."""
    name, documents = _documents(source)
    start = mapped(name, documents, space, metrics)
    if not start.observations:
        raise BadInput.one(unusable(start), "warm_start", MAPPED)
    return start


def _documents(source: Any) -> tuple[str, Sequence[Mapping[str, Any]]]:
    if isinstance(source, (str, os.PathLike)):
        try:
            return os.fspath(source), read(Path(source))
        except UnreadableResults as exc:
            hint = "pass results of an experiment as `Experiment.load(HANDLE).trials()`"
            raise BadInput.one(str(exc), "warm_start", hint) from exc
    if hasattr(source, "to_dict") and hasattr(source, "columns"):
        source = source.to_dict("records")
    if isinstance(source, Sequence) and all(isinstance(item, Mapping) for item in source):
        rows = [
            {str(name): value for name, value in item.items()} for item in source
        ]  # DataFrame columns may have any labels
        plain = json.loads(json.dumps(rows, default=_plain_or_text))
        return "the list", plain
    raise BadInput.one("expected a path, a DataFrame or a list of dictionaries", "warm_start")


def _plain_or_text(value: Any) -> Any:
    """Convert a value with `plain_value`, or to text: tables may have times and durations beside results."""
    try:
        return plain_value(value)
    except TypeError:
        return str(value)
