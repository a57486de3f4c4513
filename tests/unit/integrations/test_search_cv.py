"""State that trials of a scikit-learn search inherit from the searching process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from orchestune.sklearn import _experiment_parameters, _SharedWork

X = pd.DataFrame({"a": np.arange(8.0), "b": np.ones(8)})
Y = 2 * X["a"]
SPLITS = [(np.arange(6), np.arange(6, 8))]
ARGUMENTS: dict[str, Any] = {
    "scorer": lambda estimator, X, y: estimator.score(X, y),  # noqa: N803
    "verbose": 0,
    "fit_params": {},
    "score_params": {},
    "error_score": "raise",
}


def test_a_trial_has_the_settings_of_scikit_learn_under_which_the_search_was_begun() -> None:
    by_name = ColumnTransformer([("a", "passthrough", ["a"])])
    with config_context(transform_output="pandas"):  # else the scaler gives an array, whose columns have no names
        work = _SharedWork(make_pipeline(StandardScaler(), by_name, Ridge()), X, Y, SPLITS, ARGUMENTS, {}, None)
    [fold] = work.folds({"ridge__alpha": 0.1})
    assert fold["test_scores"] > 0.9


def test_values_that_no_file_could_have_travel_as_texts_that_stand_for_them() -> None:
    grid = {"C": [1.0, np.inf], "missing": [np.nan, 0.0], "tol": [1e-3, np.float64(0.1)], "f": [None, len]}
    parameters, objects = _experiment_parameters(grid)
    assert parameters == {
        "C": ["0: 1.0", "1: inf"],
        "missing": ["0: nan", "1: 0.0"],
        "tol": [1e-3, 0.1],
        "f": parameters["f"],
    }
    work = _SharedWork(Ridge(), X, Y, SPLITS, ARGUMENTS, objects, None)
    configuration = work.configuration({"C": "1: inf", "missing": "0: nan", "tol": 0.1, "f": parameters["f"][1]})
    assert configuration["C"] == np.inf and np.isnan(configuration["missing"]) and configuration["f"] is len
