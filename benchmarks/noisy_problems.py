"""Noisy searches with known truth: models of scikit-learn, searched by `auto`, with repeats of every trial.

Each trial is a cross-validation with its own splits and seeds. After a search every configuration is repeated with
others; the mean of the repeats counts as the truth.
"""

from __future__ import annotations

import gzip
import json
import os
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestune import Optimizer

RECORDED = Path(__file__).with_name("noisy_searches.json.gz")
TRIALS, REPEATS, SEARCHES = 40, 12, 2


@dataclass(frozen=True)
class RepeatedTrial:
    """A trial with its mean score and the deviation over folds, and those of its repeats."""

    parameters: dict[str, Any]
    value: float
    stddev: float
    repeats: list[tuple[float, float]]


@dataclass(frozen=True)
class Problem:
    """A model with its space; `build` makes it from a configuration and a seed."""

    parameters: Mapping[str, Any]
    build: Callable[[Mapping[str, Any], int], Any]
    data: str
    folds: int = 3
    scoring: str | None = None
    rows: int | None = None

    def score(self, configuration: Mapping[str, Any], seed: int) -> tuple[float, float]:
        """Return mean and standard deviation over the folds of a shuffled cross-validation."""
        import numpy as np
        from sklearn import datasets
        from sklearn.base import is_classifier
        from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features, target = getattr(datasets, f"load_{self.data}")(return_X_y=True)
        if self.rows is not None:
            some = np.random.default_rng(0).permutation(len(target))[: self.rows]
            features, target = features[some], target[some]
        model = self.build(configuration, seed)
        split = (StratifiedKFold if is_classifier(model) else KFold)(self.folds, shuffle=True, random_state=seed)
        pipeline = make_pipeline(StandardScaler(), model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # networks that do not converge are part of the search
            scores = cross_val_score(pipeline, features, target, cv=split, scoring=self.scoring)
        return float(scores.mean()), float(scores.std())


def _sgd(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(**chosen, random_state=seed, max_iter=300)


def _forest(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(20, **chosen, random_state=seed)


def _svm(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(**chosen)


def _network(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    others = {name: value for name, value in chosen.items() if name != "width"}
    return MLPClassifier((chosen["width"],), **others, max_iter=20, random_state=seed)


def _tree(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(**chosen, random_state=seed)


def _ridge(chosen: Mapping[str, Any], seed: int) -> Any:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.preprocessing import StandardScaler

    return TransformedTargetRegressor(KernelRidge(kernel="rbf", **chosen), transformer=StandardScaler())


PROBLEMS = {
    "sgd on digits": Problem(
        {
            "alpha": "1e-6..0.1 log",
            "penalty": ["l1", "l2", "elasticnet"],
            "l1_ratio": {"type": "float", "min": 0, "max": 1, "when": {"penalty": "elasticnet"}},
        },
        _sgd,
        "digits",
        folds=4,
        rows=500,
    ),
    "forest on diabetes": Problem(
        {"max_depth": "1..12", "min_samples_leaf": "1..40 log", "max_features": "0.1..1.0"},
        _forest,
        "diabetes",
        scoring="r2",
    ),
    "svm on cancer": Problem({"C": "1e-2..1e3 log", "gamma": "1e-5..1 log"}, _svm, "breast_cancer"),
    "network on wine": Problem(
        {"width": "4..64 log", "learning_rate_init": "1e-4..0.3 log", "alpha": "1e-5..10 log"}, _network, "wine"
    ),
    "tree on digits": Problem(
        {
            "max_depth": "2..20",
            "min_samples_leaf": "1..30 log",
            "ccp_alpha": "1e-5..0.1 log",
            "max_features": "0.1..1.0",
        },
        _tree,
        "digits",
    ),
    "ridge on diabetes": Problem(
        {"alpha": "1e-3..100 log", "gamma": "1e-4..1 log"}, _ridge, "diabetes", folds=5, scoring="r2"
    ),
}


def search(name: str, seed: int) -> list[RepeatedTrial]:
    """Search one problem by `auto`, then repeat each trial."""
    problem = PROBLEMS[name]
    optimizer = Optimizer(problem.parameters, {"score": "maximize"}, seed=seed)
    results = []
    for number in range(TRIALS):
        suggestion = optimizer.ask()
        value, stddev = problem.score(suggestion.parameters, 1000 * seed + number)
        optimizer.tell(suggestion, {"score": value}, stddev={"score": stddev})
        results.append((dict(suggestion.parameters), value, stddev))
    seeds = [10**6 + 1000 * seed + repeat for repeat in range(REPEATS)]
    return [
        RepeatedTrial(chosen, value, stddev, [problem.score(chosen, other) for other in seeds])
        for chosen, value, stddev in results
    ]


def searches(*, live: bool, jobs: int) -> dict[str, list[list[RepeatedTrial]]]:
    """Return the searches of each problem: those recorded, or new ones (ten minutes on two cores)."""
    if not live:
        document = json.loads(gzip.decompress(RECORDED.read_bytes()))
        return {name: [[RepeatedTrial(**trial) for trial in each] for each in runs] for name, runs in document.items()}
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {name: [pool.submit(search, name, seed) for seed in range(SEARCHES)] for name in PROBLEMS}
        return {name: [each.result() for each in futures] for name, futures in waiting.items()}


def keep(searches_by_name: Mapping[str, list[list[RepeatedTrial]]]) -> None:
    """Replace the recorded searches."""
    document = {
        name: [[asdict(trial) for trial in each] for each in several] for name, several in searches_by_name.items()
    }
    RECORDED.write_bytes(gzip.compress(json.dumps(document).encode(), mtime=0))
