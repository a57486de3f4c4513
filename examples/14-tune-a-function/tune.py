"""As in a notebook: a function of this very file is tuned, without an experiment file and without a command."""

# %% What is to be tuned: a function that returns its metric.
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import cross_val_score

import orchestune

images, digits = load_digits(return_X_y=True)


def accuracy(alpha: float, penalty: str) -> float:
    model = SGDClassifier(alpha=alpha, penalty=penalty, random_state=0)
    return float(cross_val_score(model, images / 16, digits, cv=3).mean())


# %% Each call is a process of its own; two at a time.
experiment = orchestune.tune(
    accuracy,
    parameters={"alpha": "1e-6..0.1 log", "penalty": ["l1", "l2"]},
    metrics={"accuracy": "maximize"},
    budget=12,
    parallelism=2,
    preload=["sklearn.linear_model", "sklearn.model_selection"],  # each worker imports them once
)

# %% What came of it; experiment.trials() is the same as a pandas DataFrame.
for trial in experiment.results():
    print(trial.number, trial.state, dict(trial.parameters), dict(trial.metrics))
best = experiment.best()
assert best is not None
print(f"best: trial {best.number}, accuracy {best.metrics['accuracy']:.3f}, {dict(best.parameters)}")
