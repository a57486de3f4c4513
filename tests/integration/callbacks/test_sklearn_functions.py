"""The functions for scikit-learn do what their examples say."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from orchestune.integrations import sklearn


def test_the_examples_run_as_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORCHESTUNE_METRICS", "ORCHESTUNE_STOP"):
        monkeypatch.delenv(name, raising=False)
    found = doctest.testmod(sklearn)
    assert (found.failed, found.attempted > 5) == (0, True)


def test_every_score_of_a_cross_validation_is_reported_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"test_score": np.array([0.5, 1.0]), "fit_time": np.array([1.0, 3.0]), "estimator": [object(), object()]}
    sklearn.report_cross_validation(scores, "accuracy")
    assert capsys.readouterr().out == "test_score=0.75\nfit_time=2.0\naccuracy=0.75\n"
