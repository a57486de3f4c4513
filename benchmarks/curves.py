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

from orchestune.domain.metrics import Metric

STEPS = 32
Train = Callable[[random.Random], Iterator[float]]


@dataclass(frozen=True)
class Recorded:
    """One configuration: its value after each step, and the seconds that each took."""

    values: tuple[float, ...]
    seconds: tuple[float, ...]


def sgd(chance: random.Random) -> Iterator[float]:
    """A linear classifier of digits, by stochastic gradients: accuracy by epoch."""
    from sklearn.linear_model import SGDClassifier

    train, test, labels, truth = _digits()
    model = SGDClassifier(
        loss=chance.choice(["hinge", "log_loss", "modified_huber"]),
        penalty=chance.choice(["l2", "l1", "elasticnet"]),
        alpha=10 ** chance.uniform(-7, -1),
        learning_rate=chance.choice(["constant", "invscaling", "optimal"]),
        eta0=10 ** chance.uniform(-4, 1),
        random_state=chance.randrange(2**31),
    )
    for _ in range(STEPS):
        model.partial_fit(train, labels, classes=range(10))
        yield float(model.score(test, truth))


def mlp(chance: random.Random) -> Iterator[float]:
    """A network with one hidden layer on digits: accuracy by epoch."""
    from sklearn.neural_network import MLPClassifier

    train, test, labels, truth = _digits()
    model = MLPClassifier(
        hidden_layer_sizes=(round(2 ** chance.uniform(2, 6)),),
        activation=chance.choice(["relu", "tanh"]),
        solver=chance.choice(["adam", "sgd"]),
        alpha=10 ** chance.uniform(-6, 0),
        learning_rate_init=10 ** chance.uniform(-4.5, -0.5),
        batch_size=chance.choice([32, 64, 128]),
        random_state=chance.randrange(2**31),
    )
    for _ in range(STEPS):
        model.partial_fit(train, labels, classes=range(10))
        yield float(model.score(test, truth))


def boosting(chance: random.Random) -> Iterator[float]:
    """Gradient boosting on the breast cancer data: the log loss after each tree. Curves cross: slow ones win."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer(return_X_y=True)
    train, test, labels, truth = train_test_split(*data, test_size=0.4, random_state=0, stratify=data[1])
    model = GradientBoostingClassifier(
        n_estimators=STEPS,
        learning_rate=10 ** chance.uniform(-2.3, 0.3),
        max_depth=chance.randint(1, 6),
        subsample=chance.uniform(0.3, 1),
        min_samples_leaf=chance.randint(1, 30),
        max_features=chance.uniform(0.1, 1),
        random_state=chance.randrange(2**31),
    )
    model.fit(train, labels)
    for chances in model.staged_predict_proba(test):
        yield float(log_loss(truth, chances, labels=[0, 1]))


FAMILIES: dict[str, tuple[Metric, Train]] = {
    "sgd on digits": (Metric("accuracy", "maximize"), sgd),
    "network on digits": (Metric("accuracy", "maximize"), mlp),
    "boosting on cancer": (Metric("loss", "minimize"), boosting),
}


def record(sizes: dict[str, int], jobs: int, kept: Path | None) -> dict[str, list[Recorded]]:
    """So many configurations of each family; read from `kept` where it is there, and written to it."""
    if kept is not None and kept.exists():
        found: dict[str, list[Recorded]] = pickle.loads(kept.read_bytes())
        return found
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {name: pool.map(_train, [name] * size, range(size), chunksize=5) for name, size in sizes.items()}
        recorded = {name: list(curves) for name, curves in waiting.items()}
    if kept is not None:
        kept.write_bytes(pickle.dumps(recorded))
    return recorded


def _train(family: str, seed: int) -> Recorded:
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # divergence and the like are part of the game
        try:
            values = list(FAMILIES[family][1](random.Random(seed)))
        except ValueError:  # a network whose weights are no numbers any more
            values = []
    values += [math.nan] * (STEPS - len(values))
    return Recorded(tuple(values), ((time.process_time() - began) / STEPS,) * STEPS)


def _digits() -> Any:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, digits = load_digits(return_X_y=True)
    return train_test_split(images / 16, digits, test_size=0.4, random_state=0)
