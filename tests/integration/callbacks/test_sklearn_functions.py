"""The functions for scikit-learn do what their examples say."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchestune.integrations import sklearn


def test_the_examples_run_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORCHESTUNE_METRICS", "ORCHESTUNE_STOP"):
        monkeypatch.delenv(name, raising=False)
    result = doctest.testmod(sklearn)
    assert (result.failed, result.attempted > 5) == (0, True)


def test_every_score_of_a_cross_validation_is_reported_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"test_score": np.array([0.5, 1.0]), "fit_time": np.array([1.0, 3.0]), "estimator": [object(), object()]}
    sklearn.report_cross_validation(scores, "accuracy")
    assert capsys.readouterr().out == "test_score=0.75\nfit_time=2.0\naccuracy=0.75\n"


def test_estimators_that_a_cross_validation_gives_back_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """An ensemble is a sequence of its members, a pipeline one of its steps."""
    model = make_pipeline(StandardScaler(), RandomForestClassifier(2))
    scores = cross_validate(model, *load_iris(return_X_y=True), cv=2, return_estimator=True, return_indices=True)
    sklearn.report_cross_validation(scores, "accuracy")
    names = [line.partition("=")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["fit_time", "score_time", "test_score", "accuracy"]
