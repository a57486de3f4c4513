"""scikit-learn, inside a trial: report a cross-validation, or a training in steps.

To drive a search from scikit-learn instead, there is `orchestune.sklearn.SearchCV`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import check_scoring

from orchestune.integrations.naming import report_chosen
from orchestune.sdk.trial_end import should_stop

_NO_SCORES = ("estimator", "indices")
"""what `cross_validate` may give beside numbers: an array of ensembles would be one of their members"""


def report_cross_validation(scores: Any, name: str = "score") -> None:
    """Report means and standard deviations of `cross_val_score` or `cross_validate`.

    The array of the former is the metric `name`. Of the dictionary of the latter everything is reported under its own
    name (`test_accuracy`, `fit_time`, …), and `test_score` also as `name`.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> report_cross_validation(cross_val_score(DummyClassifier(), *load_iris(return_X_y=True), cv=2), "accuracy")
    accuracy=0.3333333333333333
    """
    every = {name: scores}
    if isinstance(scores, Mapping):
        every = {key: values for key, values in scores.items() if key not in _NO_SCORES}
    if "test_score" in every:
        every[name] = every["test_score"]
    folds = {key: np.asarray(values) for key, values in every.items() if np.asarray(values).dtype.kind in "fiu"}
    means = {key: float(np.mean(values)) for key, values in folds.items()}
    report_chosen(means, None, stddev={key: float(np.std(values)) for key, values in folds.items()})


def partial_fit(
    estimator: Any,
    X: Any,  # noqa: N803  scikit-learn's own spelling
    y: Any,
    validation: tuple[Any, Any],
    steps: int,
    *,
    scoring: str | Callable[..., float] | None = None,
    name: str = "score",
    **fit_params: Any,
) -> Any:
    """Fit an estimator that has `partial_fit` on the data, `steps` times, and report its score after each.

    The score is that of the `validation` data by `scoring`, or the estimator's own; it is the metric `name`. Ends early
    when the trial is to end. `classes` of a classifier are those of `y` unless they are given. Returns the estimator.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> X, y = load_iris(return_X_y=True)
    >>> model = partial_fit(GaussianNB(), X, y, (X, y), steps=2)
    score=0.96
    score=0.96
    """
    scorer = check_scoring(estimator, scoring)
    if is_classifier(estimator):
        fit_params.setdefault("classes", np.unique(y))
    for step in range(1, steps + 1):
        estimator.partial_fit(X, y, **fit_params)
        report_chosen({name: scorer(estimator, *validation)}, None, step=step)
        if should_stop():
            break
    return estimator
