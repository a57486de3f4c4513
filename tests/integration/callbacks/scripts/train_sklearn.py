import json
import sys

import numpy as np
from sklearn.linear_model import SGDClassifier

from orchestune.integrations.sklearn import partial_fit

x = np.random.default_rng(0).normal(size=(200, 3))
y = np.where(x.sum(axis=1) > 0, "up", "down")
model = partial_fit(
    SGDClassifier(random_state=0), x[:150], y[:150], (x[150:], y[150:]), int(sys.argv[1]), name="accuracy"
)
again, history = SGDClassifier(random_state=0), []
for _ in range(min(int(sys.argv[1]), 5)):
    history.append(again.partial_fit(x[:150], y[:150], classes=["down", "up"]).score(x[150:], y[150:]))
print(json.dumps({"accuracy": history}))
