import json
import sys

import lightgbm
import numpy as np

from orchestune.integrations.lightgbm import OrchestuneCallback

x = np.random.default_rng(0).normal(size=(200, 3))
history = lightgbm.cv(
    {"objective": "l2", "num_leaves": 4, "num_threads": 1, "verbose": -1},
    lightgbm.Dataset(x, label=x.sum(axis=1)),
    num_boost_round=int(sys.argv[1]),
    nfold=3,
    stratified=False,
    callbacks=[OrchestuneCallback({"loss": "valid-l2"})],
)
print(json.dumps({"loss": history["valid l2-mean"], "stddev": history["valid l2-stdv"]}))
