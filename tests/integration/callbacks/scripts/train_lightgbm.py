import json
import sys

import lightgbm
import numpy as np

from orchestune.integrations.lightgbm import OrchestuneCallback

x = np.random.default_rng(0).normal(size=(200, 3))
history: dict = {}
model = lightgbm.LGBMRegressor(n_estimators=int(sys.argv[1]), num_leaves=4, n_jobs=1, verbose=-1)
model.fit(
    x[:150],
    x[:150].sum(axis=1),
    eval_set=[(x[150:], x[150:].sum(axis=1))],
    eval_names=["valid"],
    callbacks=[OrchestuneCallback(), lightgbm.record_evaluation(history)],
)
print(json.dumps({"valid-l2": history["valid"]["l2"]}))
