import argparse

import lightgbm
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--leaves", type=int, default=31)
parser.add_argument("--extra-trees", action="store_true")
options = parser.parse_args()

random = np.random.default_rng(0)
x = random.uniform(size=(500, 8))  # Friedman's function: three of eight columns are noise
y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
y += random.normal(size=500)
train, valid = (lightgbm.Dataset(x[part], label=y[part]) for part in (slice(350), slice(350, None)))
lightgbm.train(
    {
        "objective": "l2",
        "learning_rate": options.rate,
        "num_leaves": options.leaves,
        "extra_trees": options.extra_trees,
        "num_threads": 1,
        "verbose": -1,
    },
    train,
    num_boost_round=60,
    valid_sets=[valid],
    callbacks=[lightgbm.log_evaluation(10)],
)
