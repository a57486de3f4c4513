"""A random forest has to be good and small: two metrics, so the answer is a front of trade-offs."""

import argparse
import json
import os

from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_validate

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trees", type=int, required=True)
parser.add_argument("--depth", type=int, required=True)
parser.add_argument("--features", choices=["sqrt", "log2", "all"], required=True)
options = parser.parse_args()

forest = RandomForestClassifier(
    n_estimators=options.trees,
    max_depth=options.depth,
    max_features=None if options.features == "all" else options.features,
    random_state=int(os.environ.get("ORCHESTUNE_SEED", "0")),
)
result = cross_validate(forest, *load_wine(return_X_y=True), cv=4, return_estimator=True)
nodes = sum(tree.tree_.node_count for fitted in result["estimator"] for tree in fitted.estimators_) / 4

# another way to report than a line on standard output: JSON lines in the file that ORCHESTUNE_METRICS names
with open(os.environ.get("ORCHESTUNE_METRICS", os.devnull), "a") as file:
    scores = result["test_score"]
    print(json.dumps({"name": "accuracy", "value": scores.mean(), "stddev": scores.std()}), file=file)
    print(json.dumps({"nodes": nodes}), file=file)
print(f"{nodes:.0f} nodes reach an accuracy of {scores.mean():.3f}")
