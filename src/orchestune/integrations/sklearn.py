"""scikit-learn inside a trial: report a cross-validation, or training in steps.

To run a search from scikit-learn, use `orchestune.sklearn.SearchCV`.
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
"""entries of `cross_validate` that are not scores: an array of ensembles would be read as numbers"""


def report_cross_validation(scores: Any, name: str = "score") -> None:
    """Report means and standard deviations of `cross_val_score` or `cross_validate`.

    An array is reported as the metric `name`. Of a dictionary, each entry is reported under its own name
    (`test_accuracy`, `fit_time`, …), and `test_score` also as `name`.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.dummy import DummyClassifier
    >>> from sklearn.model_selection import cross_val_score
    >>> report_cross_validation(cross_val_score(DummyClassifier(), *load_iris(return_X_y=True), cv=2), "accuracy")
    accuracy=0.3333333333333333
    """
    scores_by_name = {name: scores}
    if isinstance(scores, Mapping):
        scores_by_name = {key: values for key, values in scores.items() if key not in _NO_SCORES}
    if "test_score" in scores_by_name:
        scores_by_name[name] = scores_by_name["test_score"]
    folds = {
        key: np.asarray(values) for key, values in scores_by_name.items() if np.asarray(values).dtype.kind in "fiu"
    }
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
    """Call `partial_fit` of an estimator `steps` times on the data, and report its score after each.

    The score on the `validation` data, by `scoring` or the estimator's own, is the metric `name`. Stops early when the
    trial should end. `classes` of a classifier default to those of `y`. Returns the estimator.

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
