"""Models of scikit-learn, each configuration trained once by `record`: a look at a table stands for a training."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.search.problem import Problem
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Configuration, Space

TABLES = Path(__file__).with_name("recorded.json.gz")

BOOSTING = Space.of(
    (
        Parameter("rounds", "int", 0, 4),
        Parameter("rate", "int", -6, 0),
        Parameter("depth", "int", 1, 5),
        Parameter("share", "int", 1, 4),
        Parameter("loss", "categorical", choices=("squared_error", "absolute_error")),
    )
)
PERCEPTRON = Space.of(
    (
        Parameter("activation", "categorical", choices=("relu", "tanh", "logistic")),
        Parameter("width", "int", 3, 6),
        Parameter("rate", "int", -8, -1),
        Parameter("decay", "int", -4, 0, step=2),
        Parameter("batch", "int", 5, 6),
    )
)


def entry(configuration: Configuration) -> str:
    """The key of a configuration in its table."""
    return json.dumps(dict(configuration), sort_keys=True)


def _problem(name: str, space: Space, table: dict[str, float], tuned: bool) -> Problem:
    loss: Callable[[Configuration], float] = lambda configuration: table[entry(configuration)]
    return Problem(name, "recorded", space, loss, min(table.values()), tuned=tuned)


def problems() -> tuple[Problem, ...]:
    """The recorded problems."""
    tables = json.loads(gzip.decompress(TABLES.read_bytes()))
    return (
        _problem("sklearn-boosting", BOOSTING, tables["boosting"], False),
        _problem("sklearn-perceptron", PERCEPTRON, tables["perceptron"], True),
    )
