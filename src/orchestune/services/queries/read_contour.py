"""Contour plot of a metric over two parameters: a kernel-weighted mean of all completed trials on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orchestune.documents import Contour
from orchestune.domain.search.parameters import Parameter, Value
from orchestune.errors import BadInput, UsageError
from orchestune.services.core import Core
from orchestune.services.memory.lru_cache import Recent
from orchestune.services.memory.trial_columns import STATES, Column, Numbers
from orchestune.store.experiments import ExperimentRow

_CELLS_PER_AXIS = 40
"""Grid cells along each axis; fewer if a parameter has fewer values."""
_KERNEL_WIDTH, _MIN_WIDTH, _MAX_WIDTH = 0.25, 0.03, 0.15
"""Kernel width as a share of the axis: at one trial (it shrinks with their number), its lower and upper bound."""
_MIN_WEIGHT = 0.135
"""Weight of a trial two kernel widths away. Cells whose total weight is smaller are left empty."""
_OUTLIER_RANGES = 6.0
"""Outlier bound in interquartile ranges beyond the quartiles; values outside are clipped to it."""
_LARGE = 1e290
"""Values beyond this are scaled down first, because their sum may overflow."""
_CONTOURS: Recent[Contour] = Recent(most=2**20, size=lambda contour: len(contour["across"]) * len(contour["up"]))
"""Together they have at most a million cells, as many as one of two parameters with 1,000 choices has."""


def contour(core: Core, ref: str, x: str, y: str, metric: str | None) -> Contour:
    """Return the local mean of a metric (default: the objective) on a grid over `x` and `y`; None if no trial is near.

    Raises BadInput if `x` or `y` is not a parameter, UsageError if both are the same or the metric is unknown.
    """
    row, columns = core.experiment_cache.columns(core.store, ref)
    parameters = {parameter.name: parameter for parameter in row.specification.space.parameters}
    for name, key in ((x, "x"), (y, "y")):
        if name not in parameters:
            raise BadInput.one(
                f"unknown parameter: '{name}'", key=key, hint=f"available are {', '.join(list(parameters)[:30])}"
            )
    if x == y:
        raise UsageError("a contour needs two different parameters")
    name = metric or row.specification.objective.name
    if name not in columns.metrics:
        raise UsageError(f"{row.handle} has no metric '{name}'", f"it has {', '.join(list(columns.metrics)[:30])}")
    axes = _Axis.of(parameters[x], columns.parameters[x]), _Axis.of(parameters[y], columns.parameters[y])
    values = np.where(columns.state() == STATES.index("completed"), columns.metrics[name].array(), np.nan)
    return _CONTOURS.get((row.cache_key, x, y, name), _version(row), lambda: _document(name, axes, values))


def _version(row: ExperimentRow) -> tuple[int, int]:
    return row.event_seq, row.revision


@dataclass(frozen=True)
class _Axis:
    """Grid cells along one parameter."""

    name: str
    levels: tuple[Value, ...]
    """Center of each cell."""
    places: Numbers
    """Cell of each trial, NaN without a value."""
    ordered: bool
    """True if neighboring cells are related, False for categories."""

    @classmethod
    def of(cls, parameter: Parameter, column: Column) -> _Axis:
        values = column.array()
        if not parameter.numeric:
            words = tuple(column.words or ())
            return cls(parameter.name, words, values, ordered=False)
        levels = parameter.levels() if parameter.count() <= _CELLS_PER_AXIS else None
        if levels is not None:
            middles = np.array(levels, float)
            nearest = np.abs(values[:, None] - middles[None, :]).argmin(axis=1)
            return cls(parameter.name, levels, np.where(np.isnan(values), np.nan, nearest), ordered=True)
        assert parameter.low is not None and parameter.high is not None
        ahead, back = (np.log, np.exp) if parameter.log else (_same, _same)
        low, high = ahead(np.array([parameter.low, parameter.high], float))
        inside = np.clip(values, parameter.low, parameter.high)
        places = np.clip(np.floor((ahead(inside) - low) / (high - low) * _CELLS_PER_AXIS), 0, _CELLS_PER_AXIS - 1)
        centres = back(low + (np.arange(_CELLS_PER_AXIS) + 0.5) / _CELLS_PER_AXIS * (high - low))
        return cls(parameter.name, tuple(float(f"{centre:.6g}") for centre in centres), places, ordered=True)

    def reach(self, trials: int) -> Numbers:
        """Return the weight matrix, shape (cells, cells): how much a trial in one cell counts in another."""
        count = len(self.levels)
        if not self.ordered:
            return np.eye(count)
        width = min(max(_MIN_WIDTH, _KERNEL_WIDTH * trials ** (-1 / 6)), _MAX_WIDTH) * count
        apart = np.subtract.outer(np.arange(count), np.arange(count)) / width
        weights: Numbers = np.exp(-0.5 * apart**2)
        return weights


def _same(values: Numbers) -> Numbers:
    return values


def _document(metric: str, axes: tuple[_Axis, _Axis], values: Numbers) -> Contour:
    across, up = axes
    has_value = np.isfinite(values) & ~np.isnan(across.places) & ~np.isnan(up.places)
    measured = _within_reach(values[has_value])
    largest = float(np.abs(measured).max(initial=0.0))
    scale = largest if largest > _LARGE else 1.0
    shape = len(up.levels), len(across.levels)
    sums, counts = np.zeros(shape), np.zeros(shape)
    cells = up.places[has_value].astype(int), across.places[has_value].astype(int)
    np.add.at(sums, cells, measured / scale)
    np.add.at(counts, cells, 1.0)
    trials = len(measured)
    upwards, sideways = up.reach(max(trials, 1)), across.reach(max(trials, 1))
    weights = upwards @ counts @ sideways
    means = (upwards @ sums @ sideways) / np.maximum(weights, _MIN_WEIGHT)
    return {
        "metric": metric,
        "x": across.name,
        "y": up.name,
        "trials": trials,
        "across": list(across.levels),
        "up": list(up.levels),
        "values": [
            [
                float(f"{mean * scale:.6g}") if weight >= _MIN_WEIGHT else None
                for mean, weight in zip(*line, strict=True)
            ]
            for line in zip(means, weights, strict=True)
        ],
    }


def _within_reach(values: Numbers) -> Numbers:
    """Clip outliers, so that a single diverged result does not hide all others."""
    if len(values) < 20:
        return values
    low, high = np.quantile(values, [0.25, 0.75])
    reach = _OUTLIER_RANGES * (high - low)
    clipped: Numbers = np.clip(values, low - reach, high + reach) if reach else values
    return clipped
