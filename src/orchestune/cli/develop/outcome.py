"""What came of one trial that somebody waited for, and how it is told."""

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
    """What came of it. `problem` is empty where the command succeeded with finite metrics."""

    problem: str
    exit_code: int | None
    seconds: float
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    """files that `collect` names, and that it did not leave"""
    printed: str = ""
    """the last of its output"""
    warm: bool = False
    """a worker ran it that was there already, elsewhere than on this machine"""

    def to_json(self) -> dict[str, Any]:
        """As `test --json` and `try --json` print it; JSON has no number that is not finite."""
        return {
            "problem": self.problem or None,
            "exit_code": self.exit_code,
            "wall_seconds": round(self.seconds, 3),
            "metrics": {
                name: {kind: finite(one) for kind, one in value.items()} for name, value in self.metrics.items()
            },
            "extra": {name: finite(value) for name, value in self.extra.items()},
        }


def finite(value: float | None) -> float | None:
    """A number as JSON has it; None where that has none."""
    return value if value is not None and math.isfinite(value) else None


def missing(outcome: Outcome, specification: Specification) -> list[str]:
    """The declared metrics that it did not report."""
    return [metric.name for metric in specification.metrics if metric.name not in outcome.metrics]


def verdict(
    console: Console, outcome: Outcome, specification: Specification, before: Mapping[str, Any] | None = None
) -> list[str]:
    """The lines below its output; `before`: what each metric was in the trial that it is compared with."""
    paint = console.paint
    lines = []
    if outcome.problem:
        lines.append(f"{paint('31', 'failed')}   {outcome.problem}")
    for metric in specification.metrics:
        if metric.name in outcome.metrics:
            value = outcome.metrics[metric.name]
            spread = f" {paint.sign('±')} {number(value['stddev'], 2)}" if value["stddev"] is not None else ""
            spread += _was(before, metric.name)
            lines.append(f"{paint('32', 'metric')}   {metric.name} {number(value['value'], 6)}{spread}")
    for name in missing(outcome, specification):
        lines.append(f"{paint('31', 'missing')}  {name}{_advice(name, outcome)}")
    for place in outcome.absent:
        lines.append(
            f"{paint('31', 'missing')}  {one_line(place)}, which `collect` names; the command left no such file"
        )
    if outcome.extra:
        seen = ", ".join(f"{name} {number(value)}" for name, value in list(outcome.extra.items())[:8])
        lines.append(f"{paint.dim('also')}     {one_line(seen)}")
    warm = ", on a warm worker" if outcome.warm else ""
    lines.append(f"{paint.dim('time')}     {duration(outcome.seconds)}{warm}")
    return lines


def _advice(name: str, outcome: Outcome) -> str:
    """How the metric would be found; nothing where the command came to no end at which it would have printed it."""
    if told := unparsed_hint(name, outcome.printed):
        return f": {one_line(told)}"
    near = get_close_matches(name, outcome.extra, 1, 0.4)
    if near:
        return f"; did you mean {one_line(near[0])}, which it reported?"
    return "" if outcome.problem else f"; print a line such as `{name}=0.5`"


def _was(before: Mapping[str, Any] | None, name: str) -> str:
    known = (before or {}).get(name)
    return f" (was {number(known['value'], 6)})" if known else ""
