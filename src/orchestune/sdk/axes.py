"""Axes of parameters in figures: linear, logarithmic, or categorical."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestune.domain.search.parameters import token

_ABSENT = "–"


@dataclass(frozen=True)
class SpaceAxis:
    """The axis of one parameter."""

    name: str
    kind: str
    """axis type of Plotly: `linear`, `log` or `category`"""
    choices: tuple[Any, ...] = ()
    ends: tuple[float, float] | None = None
    """bounds of its range, if it has one"""

    @classmethod
    def of(cls, parameter: Mapping[str, Any]) -> SpaceAxis:
        """Return the axis of a parameter in a specification document."""
        if parameter.get("choices"):
            return cls(parameter["name"], "category", tuple(parameter["choices"]))
        ends = (parameter["min"], parameter["max"]) if "min" in parameter else None
        return cls(parameter["name"], "log" if parameter.get("log") else "linear", ends=ends)

    def coordinates(self, values: Sequence[Any]) -> list[Any]:
        """Return the values as coordinates: text on a categorical axis."""
        return [str(value) if self.kind == "category" and value is not None else value for value in values]

    def layout(self) -> dict[str, Any]:
        """Return the layout of the axis: the whole range, or all categories in order."""
        axis: dict[str, Any] = {"title": {"text": self.name}, "type": self.kind, "exponentformat": "e"}
        if self.kind == "category":
            words = self.coordinates(self.choices)
            return axis | {"categoryorder": "array", "categoryarray": words, "range": [-0.5, len(words) - 0.5]}
        if self.ends is None:
            return axis
        low, high = map(self._coordinate, self.ends)
        return axis | {"range": [low - (high - low) * 0.02, high + (high - low) * 0.02]}

    def dimension(self, values: Sequence[Any]) -> dict[str, Any]:
        """Return the values as an axis of parallel coordinates, which only supports numbers.

        Trials without the parameter are placed below the others.
        """
        if self.kind == "category":
            categories = list(dict.fromkeys(token(value) for value in (*self.choices, *values) if value is not None))
            absent, ticks = -1.0, {float(index): str(value) for index, (_, value) in enumerate(categories)}
            positions = [absent if value is None else float(categories.index(token(value))) for value in values]
            low, high = 0.0, float(len(categories) - 1)
        else:
            coordinates = [self._coordinate(value) for value in (*values, *(self.ends or ())) if value is not None]
            low, high = min(coordinates, default=0.0), max(coordinates, default=1.0)
            absent, ticks = low - ((high - low) or 1.0) / 10, self._ticks(low, high)
            positions = [absent if value is None else self._coordinate(value) for value in values]
        axis = {"label": self.name, "values": positions, "range": [absent if None in values else low, high]}
        if self.kind == "linear" and None not in values:
            return axis
        ticks |= {absent: _ABSENT} if None in values else {}
        return axis | {"tickvals": list(ticks), "ticktext": list(ticks.values())}

    def _coordinate(self, value: float) -> float:
        return math.log10(value) if self.kind == "log" else float(value)

    def _ticks(self, low: float, high: float) -> dict[float, str]:
        """Return ticks at powers of ten if there are at least two, otherwise at the ends."""
        if self.kind == "log":
            powers = range(math.ceil(low), math.floor(high) + 1)
            if len(powers) >= 2:
                return {float(power): f"{10.0**power:g}" for power in powers}
            return {position: f"{10**position:.3g}" for position in (low, high)}
        return {position: f"{position:.4g}" for position in (low, (low + high) / 2, high)}
