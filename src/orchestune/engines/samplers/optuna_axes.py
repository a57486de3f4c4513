"""Maps parameters to Optuna distributions over indices and unit intervals: Optuna neither overflows nor rounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from orchestune.domain.search.parameters import Parameter, Value, token

_MAX_LEVELS = 2**20  # with more the parameter is treated as continuous
_SLACK = 1e-6


@dataclass(frozen=True)
class OptunaAxis:
    """A dimension for Optuna. TPE is invariant to shifts and scales, so every float uses the unit interval."""

    name: str
    distribution: BaseDistribution
    inward: Callable[[Value], float | int | None]
    """the position of a value; None if it is not a value of the parameter"""
    outward: Callable[[float], Value]


def axis(parameter: Parameter) -> OptunaAxis:
    """Return the axis of `parameter`: choices and steps by index, log integers unchanged, the rest in [0, 1]."""
    if not parameter.numeric:
        return _choices(parameter)
    if parameter.kind == "int" or parameter.step is not None:
        if parameter.count() <= _MAX_LEVELS and not parameter.log:
            return _steps(parameter)
        if parameter.count() <= _MAX_LEVELS and (parameter.step or 1) == 1 and parameter.kind == "int":
            return _log_integers(parameter)
    return _logarithmic(parameter) if parameter.log else _linear(parameter)


def _choices(parameter: Parameter) -> OptunaAxis:
    choices = parameter.choices
    indices = {token(choice): index for index, choice in enumerate(choices)}
    return OptunaAxis(
        parameter.name,
        CategoricalDistribution(range(len(choices))),
        lambda value: indices.get(token(value)),
        lambda index: choices[int(index)],
    )


def _steps(parameter: Parameter) -> OptunaAxis:
    low, step, top = parameter.low or 0, parameter.step or 1, int(parameter.count()) - 1

    def inward(value: Value) -> int | None:
        if not isinstance(value, (int, float)):
            return None
        index = round((value - low) / step)
        return index if 0 <= index <= top else None

    return OptunaAxis(
        parameter.name, IntDistribution(0, top), inward, lambda index: parameter.snap(low + int(index) * step)
    )


def _log_integers(parameter: Parameter) -> OptunaAxis:
    low, high = int(parameter.low or 1), int(parameter.high or 1)

    def inward(value: Value) -> int | None:
        return int(value) if isinstance(value, (int, float)) and low <= value <= high else None

    return OptunaAxis(parameter.name, IntDistribution(low, high, log=True), inward, lambda value: parameter.snap(value))


def _logarithmic(parameter: Parameter) -> OptunaAxis:
    low, high = math.log(parameter.low or 1), math.log(parameter.high or 1)

    def inward(value: Value) -> float | None:
        if not isinstance(value, (int, float)) or value <= 0:
            return None
        return _inside((math.log(value) - low) / (high - low)) if high > low else 0.0

    return OptunaAxis(
        parameter.name,
        FloatDistribution(0.0, 1.0),
        inward,
        lambda position: parameter.snap(math.exp(low * (1 - position) + high * position)),
    )


def _linear(parameter: Parameter) -> OptunaAxis:
    low, high = parameter.low or 0.0, parameter.high or 0.0
    width = high / 2 - low / 2  # halved first: the difference of two large floats may overflow

    def inward(value: Value) -> float | None:
        if not isinstance(value, (int, float)):
            return None
        return _inside((value / 2 - low / 2) / width) if width else 0.0

    return OptunaAxis(
        parameter.name,
        FloatDistribution(0.0, 1.0),
        inward,
        lambda position: parameter.snap(low * (1 - position) + high * position),
    )


def _inside(position: float) -> float | None:
    return min(max(position, 0.0), 1.0) if -_SLACK <= position <= 1 + _SLACK else None
