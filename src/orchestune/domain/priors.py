"""What somebody believes about where the good values of a parameter lie, as a density over its range.

`normal` is given by mean and standard deviation, `log_normal` by its median and the factor around it that holds two
thirds, `beta` by its two shapes over the range, `weights` by one number for each choice. A share of each stays uniform,
so that nothing is ever impossible.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import NormalDist
from typing import Any, Literal

Kind = Literal["normal", "log_normal", "beta", "weights"]
BINS = 256
_UNIFORM = 0.1
"""the share that stays uniform"""
_FAR = 6.0
"""standard deviations between a prior and the range beyond which their common mass is mostly rounding"""
KEYS: Mapping[Kind, tuple[str, ...]] = {
    "normal": ("mean", "std"), "log_normal": ("median", "factor"), "beta": ("a", "b"), "weights": ("weights",),
}  # fmt: skip


@dataclass(frozen=True)
class Prior:
    """A belief; `numbers` are those of `KEYS`, or the weights of the choices in their order."""

    kind: Kind
    numbers: tuple[float, ...]

    def problem(self, numeric: bool, choices: int) -> str | None:
        """What is wrong with it for a parameter of that kind."""
        if numeric is (self.kind == "weights"):
            return (
                "of a number has mean and std, median and factor, or a and b" if numeric else "of choices has weights"
            )
        if self.kind == "weights":
            if len(self.numbers) != choices:
                return f"has {len(self.numbers)} weights for {choices} values"
            return None if min(self.numbers) >= 0 and sum(self.numbers) > 0 else "weights are at least 0, and not all 0"
        first, second = self.numbers
        if self.kind == "normal":
            return None if second > 0 else "std must be positive"
        if self.kind == "log_normal":
            return None if first > 0 and second > 1 else "median must be positive, and factor larger than 1"
        return None if first > 0 and second > 0 else "a and b must be positive"

    def beyond(self, low: float, high: float) -> str | None:
        """That the range is so far from it that the belief says nothing about it."""
        if self.kind not in ("normal", "log_normal"):
            return None
        middle, spread = self.numbers
        near = min(max(middle, low), high)
        if self.kind == "normal":
            away = abs(near - middle) / spread
        else:
            away = abs(math.log(near / middle)) / math.log(spread) if near > 0 else math.inf
        if away <= _FAR:
            return None
        words = ("mean", "standard deviations") if self.kind == "normal" else ("median", "factors")
        return f"has its {words[0]} {middle:g} more than {_FAR:g} {words[1]} outside of {low:g}..{high:g}"

    def to_json(self) -> dict[str, Any]:
        """The keys of the experiment file."""
        if self.kind == "weights":
            return {"weights": list(self.numbers)}
        return dict(zip(KEYS[self.kind], self.numbers, strict=True))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Prior:
        """The inverse of `to_json`. KeyError."""
        if "weights" in document:
            return cls("weights", tuple(document["weights"]))
        kind = next(kind for kind in ("normal", "log_normal", "beta") if KEYS[kind][0] in document)
        return cls(kind, tuple(float(document[key]) for key in KEYS[kind]))  # type: ignore[arg-type, index]


@dataclass(frozen=True)
class Density:
    """Masses of equally wide bins of a unit interval; together 1."""

    masses: tuple[float, ...]
    _sums: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The position below which this share of the mass lies."""
        index = min(bisect_right(self._sums, share), len(self.masses) - 1)
        before = self._sums[index - 1] if index else 0.0
        inside = (share - before) / self.masses[index] if self.masses[index] > 0 else 0.5
        return (index + min(max(inside, 0.0), 1.0)) / len(self.masses)

    def logs(self) -> list[float]:
        """The logarithm of the density in each bin; 0 where it is the uniform one."""
        return [math.log(max(mass * len(self.masses), 1e-300)) for mass in self.masses]


def density(prior: Prior, value_at: Callable[[float], float], low: float, high: float) -> Density:
    """Over the positions of a parameter, of which `value_at` tells the values."""
    if prior.kind == "weights":
        return _of(prior.numbers)
    edges = [value_at(index / BINS) for index in range(BINS + 1)]
    if prior.kind == "beta":
        a, b = prior.numbers
        middle = [(value_at((index + 0.5) / BINS) - low) / (high - low) for index in range(BINS)]
        shares = [min(max(share, 1e-9), 1 - 1e-9) for share in middle]
        logs = [(a - 1) * math.log(share) + (b - 1) * math.log1p(-share) for share in shares]
        highest = max(logs)  # a narrow one is too small for a number everywhere else
        return _of([
            math.exp(log - highest) * (after - before)
            for log, before, after in zip(logs, edges, edges[1:], strict=False)
        ])  # fmt: skip
    first, second = prior.numbers
    if prior.kind == "normal":
        below = [NormalDist(first, second).cdf(edge) for edge in edges]
    else:
        shape = NormalDist(math.log(first), math.log(second))
        below = [shape.cdf(math.log(edge)) if edge > 0 else 0.0 for edge in edges]
    return _of([max(after - before, 0.0) for before, after in pairwise(below)])


def _of(masses: Sequence[float]) -> Density:
    total = sum(masses)
    even = 1 / len(masses)
    usable = total > 0 and math.isfinite(total)
    found = [(1 - _UNIFORM) * mass / total + _UNIFORM * even if usable else even for mass in masses]
    return Density(tuple(found), tuple(accumulate(found)))
