import json
import sys

import numpy as np
import xgboost

from orchestune.integrations.xgboost import OrchestuneCallback

x = np.random.default_rng(0).normal(size=(60, 3))
history = xgboost.cv(
    {"max_depth": 2, "nthread": 1},
    xgboost.DMatrix(x, label=x.sum(axis=1)),
    num_boost_round=int(sys.argv[1]),
    nfold=3,
    as_pandas=False,
    callbacks=[OrchestuneCallback({"loss": "test-rmse"})],
)
print(json.dumps({"loss": history["test-rmse-mean"], "stddev": history["test-rmse-std"]}))
