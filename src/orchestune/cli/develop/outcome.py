"""Outcome of a trial that the user waited for, and its presentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import duration, number, one_line
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.unparsed_metrics import unparsed_hint


@dataclass
class Outcome:
    """Outcome of a trial. `problem` is empty if the command succeeded with finite metrics."""

    problem: str
    exit_code: int | None
    seconds: float
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    printed: str = ""
    """end of its output"""
    warm: bool = False
    """True if an idle warm worker on another machine ran it"""

    def to_json(self) -> dict[str, Any]:
        """Return the document of `test --json` and `try --json`, without numbers that are not finite."""
        return {
            "problem": self.problem or None,
            "exit_code": self.exit_code,
            "wall_seconds": round(self.seconds, 3),
            "metrics": {
                name: {statistic: finite(number) for statistic, number in metric.items()}
                for name, metric in self.metrics.items()
            },
            "extra": {name: finite(metric) for name, metric in self.extra.items()},
        }


def finite(value: float | None) -> float | None:
    """Return None for a number that JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def missing_metrics(outcome: Outcome, specification: Specification) -> list[str]:
    """Return the declared metrics that were not reported."""
    return [metric.name for metric in specification.metrics if metric.name not in outcome.metrics]


def verdict(
    console: Console, outcome: Outcome, specification: Specification, reference: Mapping[str, Any] | None = None
) -> list[str]:
    """Format the lines below the output; `reference`: metrics of the trial that it is compared with."""
    paint = console.paint
    lines = []
    if outcome.problem:
        lines.append(f"{paint('31', 'failed')}   {outcome.problem}")
    for metric in specification.metrics:
        if metric.name in outcome.metrics:
            value = outcome.metrics[metric.name]
            spread = f" {paint.sign('±')} {number(value['stddev'], 2)}" if value["stddev"] is not None else ""
            spread += _was(reference, metric.name)
            lines.append(f"{paint('32', 'metric')}   {metric.name} {number(value['value'], 6)}{spread}")
    for name in missing_metrics(outcome, specification):
        lines.append(f"{paint('31', 'missing')}  {name}{_advice(name, outcome)}")
    if outcome.extra:
        extra_values = ", ".join(f"{name} {number(value)}" for name, value in list(outcome.extra.items())[:8])
        lines.append(f"{paint.dim('also')}     {one_line(extra_values)}")
    warm = ", on a warm worker" if outcome.warm else ""
    lines.append(f"{paint.dim('time')}     {duration(outcome.seconds)}{warm}")
    return lines


def _advice(name: str, outcome: Outcome) -> str:
    """Return how to report a missing metric; empty if the command failed before it would have printed it."""
    if explanation := unparsed_hint(name, outcome.printed):
        return f": {one_line(explanation)}"
    matches = get_close_matches(name, outcome.extra, 1, 0.4)
    if matches:
        return f"; did you mean {one_line(matches[0])}, which was reported?"
    return "" if outcome.problem else f"; print a line such as `{name}=0.5`"


def _was(reference: Mapping[str, Any] | None, name: str) -> str:
    measured = (reference or {}).get(name)
    return f" (was {number(measured['value'], 6)})" if measured else ""
