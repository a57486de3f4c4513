import numpy as np
import xgboost

import orchestune
from orchestune.integrations.xgboost import OrchestuneCallback

params = orchestune.params({"eta": 0.1, "max_depth": 4, "subsample": 1.0, "lambda": 1.0})
random = np.random.default_rng(0)
x = random.uniform(size=(500, 8))  # Friedman's function: three of eight columns are noise
y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
y += random.normal(size=500)
xgboost.train(
    {**params, "nthread": 1, "seed": 0},
    xgboost.DMatrix(x[:350], label=y[:350]),
    num_boost_round=60,
    evals=[(xgboost.DMatrix(x[350:], label=y[350:]), "valid")],
    verbose_eval=False,
    callbacks=[OrchestuneCallback()],
)
