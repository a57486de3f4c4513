"""One of three models, each with parameters of its own: only the active ones arrive, here as a JSON file."""

import json
import os
from pathlib import Path

from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

parameters = json.loads(Path(os.environ["ORCHESTUNE_PARAMS"]).read_text())


def model() -> ClassifierMixin:
    if parameters["model"] == "svm":
        optional = {name: parameters[f"svm.{name}"] for name in ("gamma", "degree") if f"svm.{name}" in parameters}
        return SVC(C=parameters["svm.C"], kernel=parameters["svm.kernel"], **optional)
    if parameters["model"] == "forest":
        return RandomForestClassifier(parameters["forest.trees"], max_depth=parameters["forest.depth"], random_state=0)
    weights = "distance" if parameters["neighbours.weighted"] else "uniform"
    return KNeighborsClassifier(parameters["neighbours.k"], weights=weights)


scores = cross_val_score(make_pipeline(StandardScaler(), model()), *load_breast_cancer(return_X_y=True), cv=4)
print(f"accuracy: {scores.mean():.4f} +/- {scores.std():.4f}")
