"""Trains every configuration of two scikit-learn models once, and writes their losses to `recorded.json.gz`.

python -m benchmarks.search.record
"""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.search.recorded import BOOSTING, PERCEPTRON, TABLES, entry
from orchestune.domain.search.space import Configuration, Space


def _digits() -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    return tuple(train_test_split(x / 16, y, train_size=500, test_size=1000, random_state=0, stratify=y))


def perceptron() -> Callable[[Configuration], float]:
    """Log loss of a small network on digits."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    train, test, answers, test_answers = _digits()

    def loss(c: Configuration) -> float:
        model = MLPClassifier(
            2 ** int(c["width"]), activation=str(c["activation"]), learning_rate_init=10 ** (int(c["rate"]) / 2),
            alpha=10.0 ** int(c["decay"]), batch_size=2 ** int(c["batch"]), max_iter=10, random_state=0,
        )  # fmt: skip
        return min(float(log_loss(test_answers, model.fit(train, answers).predict_proba(test))), 10.0)

    return loss


def boosting() -> Callable[[Configuration], float]:
    """Mean squared error of gradient boosting on the diabetes data."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.model_selection import train_test_split

    x, y = load_diabetes(return_X_y=True)
    train, test, answers, test_answers = train_test_split(x, y, train_size=250, random_state=0)

    def loss(c: Configuration) -> float:
        model = GradientBoostingRegressor(
            n_estimators=10 * 2 ** int(c["rounds"]), learning_rate=10 ** (int(c["rate"]) / 2),
            max_depth=int(c["depth"]), subsample=int(c["share"]) / 4, loss=str(c["loss"]), random_state=0,
        )  # fmt: skip
        squared_error = float(((model.fit(train, answers).predict(test) - test_answers) ** 2).mean())
        return min(squared_error, 20_000.0)

    return loss


def _table(space: Space, loss: Callable[[Configuration], float]) -> dict[str, float]:
    return {entry(configuration): round(loss(configuration), 5) for configuration in space.walk()}


def main() -> None:
    """Write the tables."""
    warnings.simplefilter("ignore")  # a network that has not converged is a result too
    tables = {
        "boosting": _table(BOOSTING, boosting()),
        "perceptron": _table(PERCEPTRON, perceptron()),
    }
    for name, table in tables.items():
        print(f"{name}: {len(table)} configurations, {min(table.values()):g} .. {max(table.values()):g}")
    TABLES.write_bytes(gzip.compress(json.dumps(tables, sort_keys=True).encode(), mtime=0))


if __name__ == "__main__":
    main()
