"""A linear classifier of handwritten digits, trained in epochs. It knows nothing of early stopping: it prints."""

import argparse
import time

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--epochs", type=int, default=20)
options = parser.parse_args()

images, digits = load_digits(return_X_y=True)
train, test, train_digits, test_digits = train_test_split(images / 16, digits, test_size=0.3, random_state=0)
model = SGDClassifier(alpha=options.alpha, learning_rate="constant", eta0=options.rate, random_state=0)
for epoch in range(1, options.epochs + 1):
    model.partial_fit(train, train_digits, classes=range(10))
    time.sleep(0.2)  # stands for a larger data set
    print(f"epoch={epoch} accuracy={model.score(test, test_digits):.4f}")
