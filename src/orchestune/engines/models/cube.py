"""The search space as a unit cube: one coordinate per parameter, conditions as a mask.

A *point* is a row of floats: for a number its position in [0, 1] (of the logarithm if `log`; integers and steps in the
middle of their interval), for a choice its index, NaN if an observed configuration has no value. Points created by this
module have a value in every coordinate, also in inactive ones, so that another choice of the parent has a value for
them. Models use *features*: points with a constant in place of inactive coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from orchestune.domain.search.parameters import Parameter, Value, token
from orchestune.domain.search.space import Configuration, Space
from orchestune.engines.constraints.feasible import example, wander

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MAX_LEVELS = 2**20  # with more the parameter is treated as continuous
_MIDDLE = 0.5
_NO_CHOICE = -1.0
_POSITION_TOLERANCE = 1e-9
_TIMES = 3
_MAX_WALKS = 100


class Cube:
    """Conversions between the configurations of a space and its points."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._lines = [_Line(parameter) if parameter.numeric else None for parameter in space.parameters]
        self._choices = [
            {token(choice): float(index) for index, choice in enumerate(parameter.choices)}
            for parameter in space.parameters
        ]
        self.sizes = np.array([len(parameter.choices) for parameter in space.parameters], dtype=np.int64)
        """number of choices of each coordinate; 0 for a number"""
        self.numeric: Flags = self.sizes == 0
        names = {parameter.name: index for index, parameter in enumerate(space.parameters)}
        self._conditions = [
            (child, names[parent], np.array([self._coordinate(names[parent], value) for value in values]))
            for child, parameter in enumerate(space.parameters)
            for parent, values in parameter.when
        ]
        self._part = _part(space)
        self._of_part = [names[parameter.name] for parameter in self._part.parameters]

    @property
    def dimension(self) -> int:
        """The number of coordinates: one per parameter."""
        return len(self._lines)

    def point(self, configuration: Configuration) -> Floats | None:
        """Return the point of a configuration; None if it is not in the space, as after a change of the space."""
        if any(name not in self._space.by_name for name in configuration):
            return None
        row = np.full(self.dimension, math.nan)
        for index, parameter in enumerate(self._space.parameters):
            if parameter.name in configuration:
                value = configuration[parameter.name]
                if not self._has(index, parameter, value):
                    return None
                row[index] = self._coordinate(index, value)
        return row

    def _has(self, index: int, parameter: Parameter, value: Value) -> bool:
        """Return True if it is a value of the parameter; a lookup, also if there are many choices."""
        return parameter.problem(value) is None if parameter.numeric else token(value) in self._choices[index]

    def configuration(self, point: Floats) -> dict[str, Value]:
        """Return the configuration of a point without NaN: active parameters only."""
        values: dict[str, Value] = {}
        for parameter, position in zip(self._space.parameters, point.tolist(), strict=True):
            values[parameter.name] = (
                parameter.from_unit(position) if parameter.numeric else parameter.choices[int(position)]
            )
        return self._space.active(values)

    def uniform(self, count: int, random: np.random.Generator) -> Floats:
        """Return independent uniform points that satisfy the constraints."""
        if self._space.constraints:
            return self._allowed_points(count, random)
        return self.anywhere(count, random)

    def anywhere(self, count: int, random: np.random.Generator) -> Floats:
        """Return independent uniform points, ignoring the constraints."""
        points = random.random((count, self.dimension))
        return self.snapped(np.where(self.numeric, points, np.floor(points * self.sizes)))

    def allowed(self, points: Floats) -> Flags:
        """Return a mask of the points (without NaN) that satisfy the constraints."""
        if not self._space.constraints:
            return np.ones(len(points), dtype=np.bool_)
        parameters, columns = self._part.parameters, []
        for parameter, index in zip(parameters, self._of_part, strict=True):
            column = points[:, index].tolist()
            columns.append(
                list(map(parameter.from_unit, column))
                if parameter.numeric
                else [parameter.choices[int(position)] for position in column]
            )
        names = [parameter.name for parameter in parameters]
        active_parts = (self._part.active(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))
        return np.fromiter(map(self._part.allows, active_parts), dtype=np.bool_, count=len(points))

    def _allowed_points(self, count: int, random: np.random.Generator) -> Floats:
        """Return allowed points by rejection sampling from `_TIMES * count` points; random walks fill up a shortage."""
        points = self.anywhere(count * _TIMES, random)
        accepted = points[: len(points) // _TIMES]
        accepted = accepted[self.allowed(accepted)]
        if len(accepted) < count // _TIMES:  # allowed points are rare: check the other points, too
            rest = points[count:]
            accepted = np.concatenate([accepted, rest[self.allowed(rest)]])
        missing = min(count - len(accepted), _MAX_WALKS if len(accepted) < _MAX_WALKS else 0)
        chance, start = Random(int(random.integers(2**32))), example(self._space)
        walked: list[Floats] = []
        for _ in range(missing):
            start = wander(self._space, start, chance, steps=20)
            point = self.point(start)
            assert point is not None
            walked.append(np.where(np.isnan(point), self.anywhere(1, random)[0], point))
        return np.concatenate([accepted, stacked(walked, self.dimension)])[:count]

    def snapped(self, points: Floats) -> Floats:
        """Round the points to the steps of their parameters and clip them to the bounds, in place."""
        np.clip(points, 0.0, np.where(self.numeric, 1.0, self.sizes - 1.0), out=points)
        for index, line in enumerate(self._lines):
            if line is not None and line.levels:
                points[:, index] = line.snapped(points[:, index])
        return points

    def constrained(self) -> Flags:
        """Return a mask of the coordinates that constraints depend on: named parameters, and parents in conditions."""
        named = {name for each in self._space.constraints for name in each.names}
        if named:
            named |= {parent for parameter in self._space.parameters for parent, _ in parameter.when}
        return np.array([parameter.name in named for parameter in self._space.parameters], dtype=np.bool_)

    def spacing(self) -> Floats:
        """Return the distance of neighbouring levels per coordinate; 0 for continuous ones and choices."""
        return np.array([1 / line.levels if line is not None and line.levels else 0.0 for line in self._lines])

    def features(self, points: Floats) -> Floats:
        """Return the features of points: inactive numbers in the middle, inactive choices as an extra choice."""
        active = self._active(points)
        return np.where(active, points, np.where(self.numeric, _MIDDLE, _NO_CHOICE))

    def log_prior(self, features: Floats) -> Floats:
        """Return the log density of the priors; 0 for uniform priors and inactive parameters."""
        total = np.zeros(len(features))
        active = self._active(features)
        for index, parameter in enumerate(self._space.parameters):
            if parameter.prior is None:
                continue
            logs = np.array(parameter.density().logs())
            bins = features[:, index] * (len(logs) if self.numeric[index] else 1)
            densities = logs[np.clip(np.floor(bins), 0, len(logs) - 1).astype(np.int64)]
            total += np.where(active[:, index], densities, 0.0)
        return total

    @property
    def has_priors(self) -> bool:
        """True if any parameter has a prior."""
        return any(parameter.prior is not None for parameter in self._space.parameters)

    def _active(self, points: Floats) -> Flags:
        active = ~np.isnan(points)
        for child, parent, positions in self._conditions:
            near = np.abs(points[:, parent, None] - positions) < _POSITION_TOLERANCE
            active[:, child] &= near.any(axis=1) & active[:, parent]
        return active

    def _coordinate(self, index: int, value: Value) -> float:
        line = self._lines[index]
        if line is None:
            return self._choices[index][token(value)]
        return line.position(float(value))


def _part(space: Space) -> Space:
    """Return the subspace that constraints depend on: the parameters they name, and the parents of these."""
    needed: set[str] = set()
    waiting = [name for each in space.constraints for name in each.names]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [parent for parent, _ in space.by_name[name].when]
    return Space(tuple(parameter for parameter in space.parameters if parameter.name in needed), space.constraints)


class _Line:
    """The axis of a numeric parameter: a vectorized inverse of `Parameter.from_unit`."""

    def __init__(self, parameter: Parameter) -> None:
        assert parameter.low is not None and parameter.high is not None
        self._log, self._first = parameter.log, float(parameter.low)
        self._step = float(parameter.step or 1.0)
        count = parameter.count()
        self.levels = int(count) if count <= _MAX_LEVELS else 0
        low, high = parameter.ends()
        if self._log:
            low, high = math.log(low), math.log(high)
        self._low, self._half_width = low, high / 2 - low / 2  # halved first: a difference of large floats overflows

    def position(self, value: float) -> float:
        value = math.log(max(value, 5e-324)) if self._log else value
        return self._inside((value / 2 - self._low / 2) / self._half_width) if self._half_width else _MIDDLE

    def snapped(self, positions: Floats) -> Floats:
        if not self._log or not self._half_width:
            index = np.minimum(np.floor(positions * self.levels), self.levels - 1)
            return (index + 0.5) / self.levels
        values = np.exp(self._low + positions * 2 * self._half_width)
        index = np.clip(np.round((values - self._first) / self._step), 0, self.levels - 1)
        return (np.log(self._first + index * self._step) - self._low) / (2 * self._half_width)

    @staticmethod
    def _inside(position: float) -> float:
        return min(max(position, 0.0), 1.0)


def stacked(points: Sequence[Floats], width: int) -> Floats:
    """Stack rows into a matrix of `width` columns, also if there are no rows."""
    return np.array(points) if len(points) else np.empty((0, width))
