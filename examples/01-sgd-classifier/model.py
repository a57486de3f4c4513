"""Train a linear classifier with stochastic gradient descent on the handwritten digits that scikit-learn ships."""

import argparse
import os

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--alpha", type=float, required=True, help="strength of the regularisation")
parser.add_argument("--penalty", choices=["l1", "l2", "elasticnet"], default="l2")
parser.add_argument("--l1_ratio", type=float, default=0.15, help="share of l1 in the elastic net")
options = parser.parse_args()

images, digits = load_digits(return_X_y=True)
classifier = SGDClassifier(
    alpha=options.alpha,
    penalty=options.penalty,
    l1_ratio=options.l1_ratio,
    max_iter=1000,
    tol=1e-3,
    random_state=int(os.environ.get("ORCHESTUNE_SEED", "0")),
)
scores = cross_val_score(make_pipeline(StandardScaler(), classifier), images, digits, cv=4)
print(f"accuracy: {scores.mean():.4f} +/- {scores.std():.4f}")
