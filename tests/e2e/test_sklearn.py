"""The search for scikit-learn passes scikit-learn's own checks; outside of those every trial is a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from joblib import effective_n_jobs
from scipy.stats import loguniform, norm, randint
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import orchestune.sklearn
from orchestune.errors import BadInput
from orchestune.sdk import tuning
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.parameters import Params
from orchestune.sklearn import SearchCV
from tests.testbeds.docstrings import run_examples
from tests.testbeds.home import Home

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("at_home")]


SEARCH = SearchCV(LogisticRegression(), {"C": [0.5, 1.0]}, n_iter=1, cv=2, error_score="raise")
"""as scikit-learn sets up its own searches for these checks"""


def start_here(function: Callable[[Params], None], *arguments: Any, preload: list[str], **keys: Any) -> Experiment:
    """As `tuning.start`, but the trials run in this process, which has imported what workers would `preload`."""
    names = ("parameters", "metrics", "budget", "parallelism")
    experiment = Experiment.create(**dict(zip(names, arguments, strict=True)), **keys)
    for trial in experiment.loop():
        with trial, pytest.MonkeyPatch.context() as patch:
            patch.setenv("ORCHESTUNE_TRIAL", str(trial.number))
            patch.setattr(orchestune.sklearn, "report", trial.report)
            function(trial.parameters)
    return experiment


@parametrize_with_checks([SEARCH])  # type: ignore[untyped-decorator]
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")  # as scikit-learn runs them
def test_the_checks_of_scikit_learn_hold(
    estimator: Any, check: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "start", start_here)  # the checks ask for hundreds of trials
    with suppress(SkipTest):  # about another library or a GPU, which is not there
        check(estimator)


def test_the_examples_run_as_they_stand() -> None:
    run_examples("SearchCV", SearchCV, {})


def test_the_scores_are_those_of_a_cross_validation_in_this_process_and_the_trials_those_of_the_experiment() -> None:
    data = load_iris(return_X_y=True)
    parameters = {"logisticregression__C": "0.01..10 log", "standardscaler": [StandardScaler(), MinMaxScaler()]}
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    search = SearchCV(pipeline, parameters, n_iter=4, n_jobs=2, cv=3, random_state=1).fit(*data)
    assert len(search.cv_results_["params"]) == 4
    for index, configuration in enumerate(search.cv_results_["params"]):
        again = cross_val_score(pipeline.set_params(**configuration), *data, cv=3)
        assert search.cv_results_["mean_test_score"][index] == pytest.approx(np.mean(again))
    trials = Experiment.load(search.experiment_).results()
    assert [trial.metrics["score"] for trial in trials] == pytest.approx(list(search.cv_results_["mean_test_score"]))
    assert search.best_estimator_.score(*data) > 0.9


def test_the_best_of_noisy_scores_is_the_one_that_the_experiment_has(shared_home: Home) -> None:
    images, digits = load_digits(return_X_y=True)
    parameters = {"max_depth": "2..12", "min_samples_leaf": "1..20 log"}
    tree = DecisionTreeClassifier(random_state=0)
    search = SearchCV(tree, parameters, n_iter=14, n_jobs=2, cv=3, random_state=2).fit(images[:300], digits[:300])
    experiment = Experiment.load(search.experiment_)
    [best_document] = experiment.status()["best"]
    best = experiment.best()
    assert best is not None and best_document["expected"] is not None
    assert search.best_params_ == dict(best.parameters) == best_document["parameters"]
    assert search.best_score_ == pytest.approx(best.metrics["score"])
    assert search.best_score_ == search.cv_results_["mean_test_score"][search.best_index_]
    [line] = [line for line in shared_home.run("best", search.experiment_).stdout.splitlines() if "95 %:" in line]
    assert f"trial {best.number}" in line


@pytest.mark.parametrize(("n_jobs", "expected"), [(None, 1), (3, 3), (-1, effective_n_jobs(-1))])
def test_n_jobs_is_what_scikit_learn_means_by_it(
    n_jobs: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parallelisms: list[int] = []

    def begin(function: Any, parameters: Any, metrics: Any, budget: int, parallelism: int, **keys: Any) -> Experiment:
        parallelisms.append(parallelism)
        return start_here(function, parameters, metrics, budget, parallelism, **keys)

    monkeypatch.setattr(tuning, "start", begin)
    SearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, n_iter=1, n_jobs=n_jobs).fit(
        *load_iris(return_X_y=True)
    )
    assert parallelisms == [expected]


def test_several_scores_are_kept_and_the_one_to_refit_by_decides() -> None:
    search = SearchCV(
        LogisticRegression(max_iter=500), {"C": [0.001, 1.0]}, n_iter=2, cv=3,
        scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss",
    ).fit(*load_iris(return_X_y=True))  # fmt: skip
    assert search.best_params_ == {"C": 1.0}
    assert {"mean_test_accuracy", "mean_test_neg_log_loss"} <= search.cv_results_.keys()


def test_distributions_of_scipy_are_ranges() -> None:
    space = {"C": loguniform(0.1, 10), "max_iter": randint(300, 302), "random_state": randint(7, 8)}
    search = SearchCV(LogisticRegression(), space, n_iter=3, cv=2).fit(*load_iris(return_X_y=True))
    for configuration in search.cv_results_["params"]:
        assert 0.1 <= configuration["C"] <= 10
        assert configuration["max_iter"] in (300, 301) and isinstance(configuration["max_iter"], int)
    with pytest.raises(BadInput, match=r"parameters\.C: norm of scipy\.stats is not supported as a range"):
        SearchCV(LogisticRegression(), {"C": norm(1, 1)}, n_iter=1).fit(*load_iris(return_X_y=True))


def test_an_error_of_the_estimator_is_raised_where_that_was_asked_for() -> None:
    search = SearchCV(LogisticRegression(), {"C": [-1.0]}, n_iter=1, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="The 'C' parameter of LogisticRegression must be"):
        search.fit(*load_iris(return_X_y=True))


def test_the_first_error_that_is_to_be_raised_ends_the_search() -> None:
    search = SearchCV(Fixed(odd=False), {"k": "0..29"}, n_iter=30, engine="grid", cv=2, error_score="raise")
    with pytest.raises(ValueError, match="k is odd"):
        search.fit(*load_iris(return_X_y=True))
    states = [trial.state for trial in Experiment.load(search.experiment_).results()]
    assert states.count("completed") + states.count("failed") == 2


class Fixed(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Always of the same opinion; refuses every second `k`, and takes the process with it where that is 9."""

    def __init__(self, k: int = 0, odd: bool = True) -> None:
        self.k, self.odd = k, odd

    def fit(self, X: Any, y: Any) -> Fixed:  # noqa: N803
        if self.k == 9:
            os._exit(3)
        if self.k % 2 and not self.odd:
            raise ValueError("k is odd")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:  # noqa: N803
        return np.full(len(X), self.classes_[0])


def test_equal_scores_and_failed_fits_at_first_are_results_and_end_no_search() -> None:
    data = load_iris(return_X_y=True)
    search = SearchCV(Fixed(), {"k": "0..7"}, n_iter=8, engine="grid", cv=2).fit(*data)
    assert len(search.cv_results_["params"]) == 8
    with (
        pytest.warns(FitFailedWarning, match="8 fits failed out of a total of 10"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search = SearchCV(Fixed(odd=False), {"k": [1, 3, 5, 7, 8]}, n_iter=5, engine="grid", cv=2).fit(*data)
    assert search.best_params_ == {"k": 8}


def test_what_has_no_result_is_told() -> None:
    with pytest.warns(UserWarning, match="trial 2 ended without a result, exited with"):
        SearchCV(Fixed(), {"k": [8, 9, 10]}, n_iter=3, engine="grid", cv=2).fit(*load_iris(return_X_y=True))
    with pytest.warns(UserWarning, match="2 of 5 configurations have results: every configuration of the space"):
        SearchCV(Fixed(), {"k": [8, 10]}, n_iter=5, cv=2).fit(*load_iris(return_X_y=True))
