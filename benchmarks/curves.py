"""Real learning curves: scikit-learn models, trained live on the data that it brings, one value per step."""

from __future__ import annotations

import math
import os
import pickle
import random
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestune.domain.search.parameters import Parameter, Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.samplers.uniform import draw

STEPS = 32


@dataclass(frozen=True)
class Recorded:
    """One configuration: its value after each step, and the seconds that each took."""

    values: tuple[float, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Family:
    """A model whose hyperparameters are searched; `train` gives its value after each of `STEPS` steps.

    ValueError where it diverges beyond what scikit-learn can compute with.
    """

    metric: Metric
    space: Space
    train: Callable[[Configuration], Iterator[float]]


def sgd(chosen: Configuration) -> Iterator[float]:
    """A linear classifier of digits, by stochastic gradients: accuracy by epoch."""
    from sklearn.linear_model import SGDClassifier

    train, test, labels, truth = _digits()
    model = SGDClassifier(**chosen, random_state=0)
    for _ in range(STEPS):
        model.partial_fit(train, labels, classes=range(10))
        yield float(model.score(test, truth))


def mlp(chosen: Configuration) -> Iterator[float]:
    """A network with one hidden layer on digits: accuracy by epoch."""
    from sklearn.neural_network import MLPClassifier

    train, test, labels, truth = _digits()
    others = {name: value for name, value in chosen.items() if name != "width"}
    model = MLPClassifier(hidden_layer_sizes=(chosen["width"],), **others, random_state=0)
    for _ in range(STEPS):
        model.partial_fit(train, labels, classes=range(10))
        yield float(model.score(test, truth))


def boosting(chosen: Configuration) -> Iterator[float]:
    """Gradient boosting on the breast cancer data: the log loss after each tree. Curves cross: slow ones win."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer(return_X_y=True)
    train, test, labels, truth = train_test_split(*data, test_size=0.4, random_state=0, stratify=data[1])
    model = GradientBoostingClassifier(n_estimators=STEPS, **chosen, random_state=0)
    model.fit(train, labels)
    for chances in model.staged_predict_proba(test):
        yield float(log_loss(truth, chances, labels=[0, 1]))


def _float(name: str, low: float, high: float, *, log: bool = False) -> Parameter:
    return Parameter(name, "float", low, high, log=log)


def _choice(name: str, *choices: Value) -> Parameter:
    return Parameter(name, "categorical", choices=choices)


FAMILIES = {
    "sgd on digits": Family(
        Metric("accuracy", "maximize"),
        Space.of((
            _choice("loss", "hinge", "log_loss", "modified_huber"),
            _choice("penalty", "l2", "l1", "elasticnet"),
            _float("alpha", 1e-7, 0.1, log=True),
            _choice("learning_rate", "constant", "invscaling", "optimal"),
            _float("eta0", 1e-4, 10.0, log=True),
        )),
        sgd,
    ),
    "network on digits": Family(
        Metric("accuracy", "maximize"),
        Space.of((
            Parameter("width", "int", 4, 64, log=True),
            _choice("activation", "relu", "tanh"),
            _choice("solver", "adam", "sgd"),
            _float("alpha", 1e-6, 1.0, log=True),
            _float("learning_rate_init", 10**-4.5, 10**-0.5, log=True),
            _choice("batch_size", 32, 64, 128),
        )),
        mlp,
    ),
    "boosting on cancer": Family(
        Metric("loss", "minimize"),
        Space.of((
            _float("learning_rate", 0.005, 2.0, log=True),
            Parameter("max_depth", "int", 1, 6),
            _float("subsample", 0.3, 1.0),
            Parameter("min_samples_leaf", "int", 1, 30),
            _float("max_features", 0.1, 1.0),
        )),
        boosting,
    ),
}  # fmt: skip


def record(sizes: dict[str, int], jobs: int, file: Path | None) -> dict[str, list[Recorded]]:
    """Return so many configurations of each family, read from `file` if it exists, else recorded and written to it."""
    if file is not None and file.exists():
        curves: dict[str, list[Recorded]] = pickle.loads(file.read_bytes())
        return curves
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {name: pool.map(_train, [name] * size, range(size), chunksize=5) for name, size in sizes.items()}
        recorded = {name: list(curves) for name, curves in waiting.items()}
    if file is not None:
        file.write_bytes(pickle.dumps(recorded))
    return recorded


def _train(family: str, seed: int) -> Recorded:
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divergence and the like are part of the game
        try:
            values = list(FAMILIES[family].train(draw(FAMILIES[family].space, random.Random(seed))))
        except ValueError:  # a network whose weights are no numbers any more
            values = []
    values += [math.nan] * (STEPS - len(values))
    return Recorded(tuple(values), ((time.process_time() - began) / STEPS,) * STEPS)


def _digits() -> Any:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    return train_test_split(images / 16, digits, test_size=0.4, random_state=0)
