import json
import sys

import numpy as np
import xgboost

from orchestune.integrations.xgboost import OrchestuneCallback

x = np.random.default_rng(0).normal(size=(60, 3))
train, valid = (xgboost.DMatrix(part, label=part.sum(axis=1)) for part in (x[:40], x[40:]))
history: dict = {}
xgboost.train(
    {"max_depth": 2, "nthread": 1},
    train,
    num_boost_round=int(sys.argv[1]),
    evals=[(train, "train"), (valid, "valid")],
    evals_result=history,
    verbose_eval=False,
    callbacks=[OrchestuneCallback()],
)
print(json.dumps({"train-rmse": history["train"]["rmse"], "valid-rmse": history["valid"]["rmse"]}))
