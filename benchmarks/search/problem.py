"""A problem of the suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space

Kind = Literal[
    "smooth", "separable", "mixed", "conditional", "noisy", "wide", "failing", "recorded", "tabular", "middle"
]


@dataclass(frozen=True)
class Problem:
    """A loss to be minimized over a space. `best` is the least loss there is, or the least that anything found."""

    name: str
    kind: Kind
    space: Space
    loss: Callable[[Configuration], float | None]
    """the loss without noise; None where the trial fails"""
    best: float
    noise: float = 0.0
    """standard deviation of the noise added to the loss before it is reported"""
    tells_noise: bool = False
    """whether a result says its standard deviation"""
    tuned: bool = False
    """whether engines may be tuned on it; the others are held out"""


def box(count: int, low: float, high: float) -> Space:
    """`count` floats in the same bounds."""
    return Space.of(tuple(Parameter(f"x{index}", "float", low, high) for index in range(count)))


def numbers(configuration: Configuration) -> list[float]:
    """The values of a configuration of numbers, by the order of the names' numbers."""
    return [float(configuration[f"x{index}"]) for index in range(len(configuration))]
