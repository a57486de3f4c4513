"""Users' priors over the good values of a parameter, as densities over its range.

`normal` has a mean and a standard deviation, `log_normal` a median and the factor around it that holds two thirds of
the mass, `beta` its two shape parameters over the range, `weights` one number per choice. A share of each density
stays uniform, so that no value is ever impossible.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Literal

from orchestune.domain.search import distributions

Kind = Literal["normal", "log_normal", "beta", "weights"]
BINS = 256
_MAX_BIN_MASS, _MAX_HALF_SHARE, _MIN_BIN_MASS = 1 / 32, 0.6, 1 / 1000
"""A bin is halved if it holds more than `_MAX_BIN_MASS` of the mass, or if one half holds more than `_MAX_HALF_SHARE`
of the bin's mass; bins with less than `_MIN_BIN_MASS` of the mass are not."""
_UNIFORM_SHARE = 0.1
"""share of the mass that stays uniform"""
_MAX_DEVIATIONS = 6.0
"""standard deviations between prior and range beyond which the mass in the range is mostly rounding error"""
KEYS: Mapping[Kind, tuple[str, ...]] = {
    "normal": ("mean", "std"), "log_normal": ("median", "factor"), "beta": ("a", "b"), "weights": ("weights",),
}  # fmt: skip


@dataclass(frozen=True)
class Prior:
    """Prior of one parameter; `numbers` are the values of `KEYS`, or the weights in the order of the choices."""

    kind: Kind
    numbers: tuple[float, ...]

    def problem(self, numeric: bool, choices: int) -> str | None:
        """Return the reason why the prior does not suit such a parameter; None if it does."""
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
        """Return a problem if the range is so far away that the prior has no usable mass in it; None otherwise."""
        if self.kind not in ("normal", "log_normal"):
            return None
        middle, spread = self.numbers
        near = min(max(middle, low), high)
        if self.kind == "normal":
            away = abs(near - middle) / spread
        else:
            away = abs(math.log(near / middle)) / math.log(spread) if near > 0 else math.inf
        if away <= _MAX_DEVIATIONS:
            return None
        words = ("mean", "standard deviations") if self.kind == "normal" else ("median", "factors")
        return f"has its {words[0]} {middle:g} more than {_MAX_DEVIATIONS:g} {words[1]} outside of {low:g}..{high:g}"

    def to_json(self) -> dict[str, Any]:
        """Serialize to the keys of the experiment file."""
        if self.kind == "weights":
            return {"weights": list(self.numbers)}
        return dict(zip(KEYS[self.kind], self.numbers, strict=True))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Prior:
        """Parse the output of `to_json`. Raises KeyError if a key is missing."""
        if "weights" in document:
            return cls("weights", tuple(document["weights"]))
        kind = next((kind for kind in ("log_normal", "beta") if KEYS[kind][0] in document), "normal")
        return cls(kind, tuple(float(document[key]) for key in KEYS[kind]))  # type: ignore[arg-type, index]


@dataclass(frozen=True)
class Scale:
    """Mapping from positions in the unit interval to the values of a numeric parameter."""

    value_at: Callable[[float], float]
    log: bool

    def between(self, one: float, other: float, share: float) -> float:
        """Interpolate between two values on this scale; accurate even if they are very close."""
        if self.log:
            return one * math.exp(share * math.log(other / one))
        return one * (1 - share) + other * share


@dataclass(frozen=True)
class Density:
    """Prior mass of equal bins of the unit interval, and of adaptive smaller bins that resolve narrow priors."""

    masses: tuple[float, ...]
    """of the equal bins; their sum is 1"""
    _edges: tuple[float, ...]
    """edges of the adaptive bins: values if numeric, else positions"""
    _sums: tuple[float, ...]
    _scale: Scale | None = None

    def quantile(self, share: float) -> float:
        """Return the value below which this share of the mass lies; for choices the position."""
        index = min(bisect_right(self._sums, share), len(self._sums) - 1)
        before = self._sums[index - 1] if index else 0.0
        mass = self._sums[index] - before
        inside = min(max((share - before) / mass, 0.0), 1.0) if mass > 0 else 0.5
        between = self._scale.between if self._scale else _straight
        return between(self._edges[index], self._edges[index + 1], inside)

    def logs(self) -> list[float]:
        """Return the log density of each equal bin; 0 is the uniform density."""
        return [math.log(max(mass * len(self.masses), 1e-300)) for mass in self.masses]


def _straight(one: float, other: float, share: float) -> float:
    return one * (1 - share) + other * share


def weights(numbers: Sequence[float]) -> Density:
    """Return the density over choices, one bin each."""
    masses = _mixed(numbers, [1 / len(numbers)] * len(numbers))
    edges = [index / len(masses) for index in range(len(masses) + 1)]
    return Density(tuple(masses), tuple(edges), tuple(accumulate(masses)))


def density(prior: Prior, scale: Scale) -> Density:
    """Return the density of a numeric parameter on its scale."""
    below = [scale.value_at(index / BINS) for index in range(BINS + 1)]
    mass = _mass(prior, below[0], below[-1])
    masses = [mass(one, other) for one, other in pairwise(below)]
    total = math.fsum(masses)
    parts = [part for one, other in pairwise(below) for part in _halved(scale, mass, (one, other, 1 / BINS), total)]
    adaptive = _mixed([mass(one, other) for one, other, _ in parts], [width for *_, width in parts])
    edges = [parts[0][0], *(other for _, other, _ in parts)]
    equal = _mixed(masses, [1 / BINS] * BINS)
    return Density(tuple(equal), tuple(edges), tuple(accumulate(adaptive)), scale)


_Part = tuple[float, float, float]
"""two values, and the share of the unit interval between them"""


def _halved(scale: Scale, mass: Callable[[float, float], float], whole: _Part, total: float) -> Iterator[_Part]:
    """Yield bins in order, each halved until its mass is about even or no float lies between its ends."""
    pending = [whole]
    while pending:
        one, other, width = pending.pop()
        middle = scale.between(one, other, 0.5) if mass(one, other) > _MIN_BIN_MASS * total else one
        if one < middle < other and _uneven(mass(one, middle), mass(middle, other), total):
            pending += [(middle, other, width / 2), (one, middle, width / 2)]
        else:
            yield one, other, width


def _uneven(lower: float, upper: float, total: float) -> bool:
    return lower + upper > _MAX_BIN_MASS * total or max(lower, upper) > _MAX_HALF_SHARE * (lower + upper)


def _mass(prior: Prior, low: float, high: float) -> Callable[[float, float], float]:
    """Return a function for the mass between two values; a beta prior spans `low` to `high`."""
    first, second = prior.numbers
    if prior.kind == "beta":
        width = high / 2 - low / 2  # halved first: the difference of large numbers may overflow

        @cache
        def below(value: float) -> float:
            return distributions.beta(first, second, (value / 2 - low / 2) / width, (high / 2 - value / 2) / width)

        return lambda one, other: max(below(other) - below(one), 0.0)

    def away(value: float) -> float:
        if prior.kind == "normal":
            return (value / 2 - first / 2) / second * 2
        if value <= 0:
            return -math.inf
        near = first / 2 < value < first * 2
        return (math.log1p((value - first) / first) if near else math.log(value) - math.log(first)) / math.log(second)

    return lambda one, other: distributions.normal(away(one), away(other))


def _mixed(masses: Sequence[float], even: Sequence[float]) -> list[float]:
    """Return the masses normalized to 1 and mixed with the uniform share; `even` if they cannot be normalized."""
    total = math.fsum(masses)
    if not (total > 0 and math.isfinite(total)):
        return list(even)
    return [
        (1 - _UNIFORM_SHARE) * mass / total + _UNIFORM_SHARE * width for mass, width in zip(masses, even, strict=True)
    ]
