"""A hyperparameter search for scikit-learn that runs its trials with Orchestune."""

from __future__ import annotations

import numbers
import os
import pickle
import tempfile
import time
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import cloudpickle
import numpy as np
from joblib import effective_n_jobs
from scipy.stats.distributions import rv_frozen
from sklearn import config_context, get_config
from sklearn.base import _fit_context, clone, is_classifier
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.model_selection._validation import (
    _fit_and_score,
    _insert_error_scores,
    _warn_or_raise_about_fit_failures,
)
from sklearn.utils import check_random_state, indexable
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_method_params

from orchestune.client.states import guarded
from orchestune.errors import BadInput, NothingCompleted
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.parameters import Params
from orchestune.sdk.reporting import report
from orchestune.sdk.tuning import started

_WORK = "work.pkl"
_UNIFORM_DISTRIBUTIONS = {"uniform": "float", "loguniform": "float", "reciprocal": "float", "randint": "int"}
_VALID_RESULTS = ("first_trials_failed", "identical_metrics")
_PLAIN_TYPES = (str, bool, int, float, np.generic)


class SearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """Search parameters of an estimator by cross-validation; each trial is a process that runs its folds in sequence.

    `parameters` are those of an experiment file, by the estimator's names: `{"C": "1e-3..100 log", "kernel": ["rbf",
    "linear"]}`; a list may hold any objects, and `uniform`, `loguniform` and `randint` of `scipy.stats` are ranges.
    `n_iter` configurations run, `n_jobs` at the same time (None: one, -1: one per core); the engine suggests each from
    earlier results. `scoring`, `cv`, `refit`, `error_score`, `return_train_score` and the attributes after `fit`
    (`best_params_`, `best_estimator_`, `cv_results_`, …) are those of `RandomizedSearchCV`; `experiment_` is the handle
    of the experiment. From ten configurations on, the best one is that with the best expected value given the spread of
    the folds, as in `orchestune best`: `best_score_` is its mean score, which need not be the highest.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.svm import SVC
    >>> from orchestune.sklearn import SearchCV
    >>> search = SearchCV(SVC(), {"C": "0.1..100 log", "kernel": ["linear", "rbf"]}, n_iter=4, n_jobs=2)
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints: dict[str, Any] = {  # noqa: RUF012  scikit-learn's own way
        **{
            name: allowed
            for name, allowed in BaseSearchCV._parameter_constraints.items()
            if name not in ("pre_dispatch", "verbose")
        },
        "parameters": [Mapping],
        "n_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "engine": [str, Mapping],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        parameters: Mapping[str, Any],
        *,
        n_iter: int = 10,
        n_jobs: int | None = None,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        engine: str | Mapping[str, Any] = "auto",
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.parameters = parameters
        self.n_iter = n_iter
        self.n_jobs = n_jobs
        self.scoring = scoring
        self.refit = refit
        self.cv = cv
        self.error_score = error_score
        self.return_train_score = return_train_score
        self.engine = engine
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)  # type: ignore[untyped-decorator]  # the estimator checks itself
    def fit(self, X: Any, y: Any = None, **params: Any) -> SearchCV:  # noqa: N803
        """Run the search, then fit the best configuration on all data if `refit` is set.

        Raises the estimator's error if every fit failed or `error_score="raise"`, and NothingCompleted if no trial
        reached its first fit. KeyboardInterrupt stops the experiment.

        >>> search = SearchCV(SVC(), {"C": [0.1, 10.0]}, n_iter=2).fit(*load_iris(return_X_y=True))
        >>> search.predict([[5.1, 3.5, 1.4, 0.2]])
        array([0])
        """
        scorers, refit_metric = self._get_scorers()
        X, y = indexable(X, y)  # noqa: N806
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, **routed.splitter.split))
        self.n_splits_ = len(splits)
        estimator = clone(self.estimator)
        spaces, objects = _experiment_parameters(self.parameters)
        arguments = {
            "scorer": scorers,
            "fit_params": routed.estimator.fit,
            "score_params": routed.scorer.score,
            "return_train_score": self.return_train_score,
            "return_n_test_samples": True,
            "return_times": True,
            "verbose": 0,
            "error_score": self.error_score,
        }
        main_score = refit_metric if isinstance(refit_metric, str) and isinstance(scorers, _MultimetricScorer) else None
        work = _SharedWork(estimator, X, y, splits, arguments, objects, main_score)
        candidates, out, expected_best = self._run_search(work, spaces)
        self._conclude(candidates, out, refit_metric, expected_best, main_score)
        if self.refit:
            self._refit(estimator, X, y, routed.estimator.fit)
        self.scorer_ = scorers._scorers if isinstance(scorers, _MultimetricScorer) else scorers
        return self

    def _run_search(
        self, work: _SharedWork, spaces: Mapping[str, Any]
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int | None]:
        """Run the experiment. Returns the configurations, and the outcomes of their folds in order.

        Third is the index of the configuration with the best expected value; None if values are taken as measured.
        """
        with tempfile.TemporaryDirectory(prefix="orchestune-search-") as folder:
            Path(folder, _WORK).write_bytes(cloudpickle.dumps(work))
            with started(
                _TrialFunction(folder),
                spaces,
                {"score": "maximize"},
                int(self.n_iter),
                effective_n_jobs(self.n_jobs),
                engine=self.engine,
                seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
                name=f"{type(work.estimator).__name__} search",
                preload=[__name__],
                **({"stop": {"max_failures": 1}} if self.error_score == "raise" else {}),
            ) as experiment:
                self.experiment_ = experiment.handle
                try:
                    while _resume_if_valid(experiment.wait(), folder, work.arguments["error_score"]):
                        pass
                finally:
                    _stop_if_open(experiment)
            paths = sorted(Path(folder).glob("*.outcome"))
            outcomes = [pickle.loads(path.read_bytes()) for path in paths]
        broken = next((outcome for outcome in outcomes if isinstance(outcome, Exception)), None)
        if broken is not None:
            raise broken
        if not outcomes:
            failed = next((trial for trial in experiment.results() if trial.state == "failed"), None)
            reason = experiment.trial(failed.number).error if failed else experiment.state
            raise NothingCompleted(f"no trial of {experiment.handle} has a result: {reason}")
        if len(outcomes) < self.n_iter:
            message = f"{len(outcomes)} of {self.n_iter} configurations have results"
            warnings.warn(f"{message}: {_why_incomplete(experiment, {int(path.stem) for path in paths})}", stacklevel=4)
        candidates = [
            work.configuration(parameters) for parameters, _ in outcomes
        ]  # the caller's own objects, not copies
        indices = {int(path.stem): index for index, path in enumerate(paths)}
        best = next((each["trial"] for each in experiment.status()["best"] if each.get("expected")), None)
        return (
            candidates,
            [fold for _, folds in outcomes for fold in folds],
            None if best is None else indices.get(best),
        )

    def _conclude(
        self,
        candidates: list[dict[str, Any]],
        out: list[dict[str, Any]],
        refit_metric: Any,
        expected_best: int | None,
        main_score: str | None,
    ) -> None:
        _warn_or_raise_about_fit_failures(out, self.error_score)
        if callable(self.scoring):
            _insert_error_scores(out, self.error_score)
        results = self._format_results(candidates, self.n_splits_, out)
        first = out[0]["test_scores"]
        self.multimetric_ = isinstance(first, dict)
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(first)
            refit_metric = self.refit
        if self.refit or not self.multimetric_:
            self.best_index_ = self._select_best_index(self.refit, refit_metric, results)
            is_searched = not self.multimetric_ or refit_metric == main_score
            if expected_best is not None and is_searched and not callable(self.refit):
                self.best_index_ = expected_best
            if not callable(self.refit):
                self.best_score_ = results[f"mean_test_{refit_metric}"][self.best_index_]
            self.best_params_ = results["params"][self.best_index_]
        self.cv_results_ = results

    def _refit(self, estimator: Any, X: Any, y: Any, fit_params: Mapping[str, Any]) -> None:  # noqa: N803
        self.best_estimator_ = clone(estimator).set_params(**clone(self.best_params_, safe=False))
        began = time.time()
        self.best_estimator_.fit(X, **({} if y is None else {"y": y}), **fit_params)
        self.refit_time_ = time.time() - began
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


@dataclass(frozen=True)
class _SharedWork:
    """The data that all trials of a search share."""

    estimator: Any
    X: Any
    y: Any
    splits: Sequence[tuple[Any, Any]]
    arguments: Mapping[str, Any]
    objects: Mapping[str, Mapping[str, Any]]
    """by parameter: the object of each choice that is written as text"""
    main: str | None
    """the score to maximize; None: the first"""
    settings: Mapping[str, Any] = field(default_factory=get_config)
    """scikit-learn's settings in the searching process, such as `transform_output`"""

    def configuration(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters with the estimator's own objects."""
        return {
            name: self.objects[name][value] if name in self.objects else value for name, value in parameters.items()
        }

    def folds(self, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Fit and score each split."""
        with config_context(**self.settings):
            return [
                _fit_and_score(
                    clone(self.estimator),
                    self.X,
                    self.y,
                    train=train,
                    test=test,
                    parameters=configuration,
                    split_progress=(index, len(self.splits)),
                    **self.arguments,
                )
                for index, (train, test) in enumerate(self.splits)
            ]

    def score(self, folds: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
        """Return mean and standard deviation over the splits; NaN if one failed."""
        scores = [fold["test_scores"] for fold in folds]
        if any(isinstance(score, dict) for score in scores):
            names = next(list(score) for score in scores if isinstance(score, dict))
            name = self.main if self.main in names else names[0]
            scores = [score[name] if isinstance(score, dict) else score for score in scores]
        return float(np.mean(scores)), float(np.std(scores))


@dataclass(frozen=True)
class _TrialFunction:
    """The function of a trial. The data is in a folder of this machine and not copied for each experiment."""

    folder: str

    def __call__(self, parameters: Params, /) -> None:
        with open(Path(self.folder, _WORK), "rb") as file:
            work: _SharedWork = pickle.load(file)
        with ExitStack() as stack:
            stack.push(self._write_error)
            folds = work.folds(work.configuration(parameters))
        self._write((dict(parameters), folds))
        mean, spread = work.score(folds)
        report(score=mean, stddev=spread)

    def _write_error(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the exception that ends a block, if any: an exit callback."""
        if isinstance(exc, Exception):
            self._write(exc)

    def _write(self, outcome: Any) -> None:
        path = Path(self.folder, f"{int(os.environ['ORCHESTUNE_TRIAL']):09}.outcome")
        part = path.with_suffix(".part")
        part.write_bytes(cloudpickle.dumps(outcome))
        os.replace(part, path)


def _experiment_parameters(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the parameters of an experiment, and for lists of other objects, the object of each text by parameter."""
    spaces, objects = dict(parameters), dict[str, dict[str, Any]]()
    for name, values in parameters.items():
        if isinstance(values, (list, tuple, np.ndarray)) and not all(map(_is_plain, values)):
            objects[name] = {f"{index}: {value!r}"[:80]: value for index, value in enumerate(values)}
            spaces[name] = list(objects[name])
        elif isinstance(values, (tuple, np.ndarray)):
            spaces[name] = list(values)
        elif isinstance(values, rv_frozen):
            spaces[name] = _range(name, values)
    return spaces, objects


def _is_plain(value: Any) -> bool:
    """Return True if an experiment file can have the value as a choice."""
    return isinstance(value, _PLAIN_TYPES) and not (isinstance(value, (float, np.floating)) and not np.isfinite(value))


def _range(name: str, distribution: Any) -> dict[str, Any] | list[int]:
    """Convert a SciPy distribution to a range. Raises BadInput unless it is uniform or log-uniform."""
    kind = _UNIFORM_DISTRIBUTIONS.get(distribution.dist.name)
    if kind is None:
        hint = "write a range such as '0.1..10 log', or use uniform, loguniform or randint"
        raise BadInput.one(
            f"{distribution.dist.name} of scipy.stats is not supported as a range", f"parameters.{name}", hint
        )
    low, high = distribution.support()
    if low == high:
        return [int(low)]
    bounds = {"min": int(low), "max": int(high)} if kind == "int" else {"min": float(low), "max": float(high)}
    return {"type": kind, **bounds, "log": distribution.dist.name in ("loguniform", "reciprocal")}


def _resume_if_valid(experiment: Experiment, folder: str, error_score: Any) -> bool:
    """Resume an experiment that a guard paused for failed fits or equal scores, which are valid results here.

    Returns True if it was resumed.
    """
    status = experiment.status()
    reason, fits = status["reason"], any(Path(folder).glob("*.outcome"))
    if not (guarded(status) and reason and reason["code"] in _VALID_RESULTS and fits) or error_score == "raise":
        return False
    experiment.resume()
    return True


def _why_incomplete(experiment: Experiment, done: Collection[int]) -> str:
    """Return why there are fewer results than requested."""
    failed = next(
        (trial for trial in experiment.results() if trial.state == "failed" and trial.number not in done), None
    )
    if failed is not None:
        return f"trial {failed.number} ended without a result, {experiment.trial(failed.number).error}"
    reason = experiment.status()["reason"]
    return reason["message"] if reason else experiment.state


def _stop_if_open(experiment: Experiment) -> None:
    """Stop an experiment that is paused by a guard, or no longer waited for."""
    status = experiment.status()
    if guarded(status) or status["state"] in ("pending", "running", "paused"):
        experiment.stop().wait()
