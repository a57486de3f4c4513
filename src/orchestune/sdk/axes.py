"""The axis that a parameter has in a figure: logarithmic where its range is, words where it has words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.domain.search.parameters import token

_ABSENT = "–"


@dataclass(frozen=True)
class SpaceAxis:
    """Of one parameter."""

    name: str
    kind: str
    """`linear`, `log` or `category`, as Plotly has it"""
    choices: tuple[Any, ...] = ()
    ends: tuple[float, float] | None = None
    """of its range, where it has one"""

    @classmethod
    def of(cls, parameter: Mapping[str, Any]) -> SpaceAxis:
        """That of a parameter as a specification has it."""
        if parameter.get("choices"):
            return cls(parameter["name"], "category", tuple(parameter["choices"]))
        ends = (parameter["min"], parameter["max"]) if "min" in parameter else None
        return cls(parameter["name"], "log" if parameter.get("log") else "linear", ends=ends)

    def shown(self, values: Sequence[Any]) -> list[Any]:
        """The values as points have them: on an axis of words, numbers and truths are words too."""
        return [str(value) if self.kind == "category" and value is not None else value for value in values]

    def layout(self) -> dict[str, Any]:
        """The axis under points, as wide as what may be tried, with its words in their order."""
        made: dict[str, Any] = {"title": {"text": self.name}, "type": self.kind, "exponentformat": "e"}
        if self.kind == "category":
            words = self.shown(self.choices)
            return made | {"categoryorder": "array", "categoryarray": words, "range": [-0.5, len(words) - 0.5]}
        if self.ends is None:
            return made
        low, high = map(self._place, self.ends)
        return made | {"range": [low - (high - low) * 0.02, high + (high - low) * 0.02]}

    def dimension(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values as an axis of parallel coordinates, which knows numbers alone.

        A parameter that did not apply has a place of its own below the others.
        """
        if self.kind == "category":
            known = list(dict.fromkeys(token(value) for value in (*self.choices, *values) if value is not None))
            absent, ticks = -1.0, {float(index): str(value) for index, (_, value) in enumerate(known)}
            places = [absent if value is None else float(known.index(token(value))) for value in values]
            low, high = 0.0, float(len(known) - 1)
        else:
            there = [self._place(value) for value in (*values, *(self.ends or ())) if value is not None]
            low, high = min(there, default=0.0), max(there, default=1.0)
            absent, ticks = low - ((high - low) or 1.0) / 10, self._ticks(low, high)
            places = [absent if value is None else self._place(value) for value in values]
        made = {"label": self.name, "values": places, "range": [absent if None in values else low, high]}
        if self.kind == "linear" and None not in values:
            return made
        ticks |= {absent: _ABSENT} if None in values else {}
        return made | {"tickvals": list(ticks), "ticktext": list(ticks.values())}

    def _place(self, value: float) -> float:
        return math.log10(value) if self.kind == "log" else float(value)

    def _ticks(self, low: float, high: float) -> dict[float, str]:
        """Powers of ten where there are some, else the ends."""
        if self.kind == "log":
            powers = range(math.ceil(low), math.floor(high) + 1)
            if len(powers) >= 2:
                return {float(power): f"{10.0**power:g}" for power in powers}
            return {place: f"{10**place:.3g}" for place in (low, high)}
        return {place: f"{place:.4g}" for place in (low, (low + high) / 2, high)}
