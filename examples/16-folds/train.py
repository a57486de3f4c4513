"""Measure a support vector machine on one fold of the wine data that scikit-learn ships."""

import argparse
import os

from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--C", type=float, required=True)
parser.add_argument("--gamma", type=float, required=True)
options = parser.parse_args()

fold, folds = int(os.environ["ORCHESTUNE_FOLD"]), int(os.environ["ORCHESTUNE_FOLDS"])
data, kinds = load_wine(return_X_y=True)
split = StratifiedKFold(folds, shuffle=True, random_state=0)  # the same parts in every trial
train, test = list(split.split(data, kinds))[fold]
model = make_pipeline(StandardScaler(), SVC(C=options.C, gamma=options.gamma))
print(f"accuracy: {model.fit(data[train], kinds[train]).score(data[test], kinds[test]):.4f}")
