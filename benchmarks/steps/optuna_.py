"""Optuna, by its Python interface: that of the command line (`ask`, `tell`) takes a loop in shell around the same."""

from __future__ import annotations

import shlex

from benchmarks.steps.solution import Change, Solution
from benchmarks.steps.tasks import AT_A_TIME, TRIALS, Range, Switch, Task
from benchmarks.steps.wrapper import body, folder_of, imports

_DISTRIBUTIONS = """\
    {
        "standardscaler": optuna.distributions.CategoricalDistribution([StandardScaler(), MinMaxScaler()]),
        "svc__C": optuna.distributions.FloatDistribution(0.01, 100, log=True),
        "svc__gamma": optuna.distributions.FloatDistribution(1e-4, 1, log=True),
    },
"""
_RETRIED = "RetryFailedTrialCallback.retried_trial_number(trial.study.trials[trial.number])"
_KEEPING = (
    'study_name="s", load_if_exists=True, storage=RDBStorage("sqlite:///study.db", heartbeat_interval=5, '
    "failed_trial_callback=RetryFailedTrialCallback()), "
)
_BEFORE = """\
    {
        "standardscaler": [StandardScaler(), MinMaxScaler()],
        "svc__C": loguniform(0.01, 100),
        "svc__gamma": loguniform(1e-4, 1),
    },
"""


def solution(task: Task) -> Solution | None:
    """None for what its users do with the sweeper of Hydra."""
    if task.kind == "hydra":
        return None
    if task.kind == "sklearn":
        old = "from sklearn.model_selection import RandomizedSearchCV"
        changes = (
            Change(
                "search.py", old, "import optuna\nfrom optuna.integration import OptunaSearchCV as RandomizedSearchCV"
            ),
            Change("search.py", _BEFORE, _DISTRIBUTIONS),
            Change("search.py", "n_iter=12", "n_trials=12"),
        )
        return Solution((shlex.join(task.command),), changes=changes)
    suggested = {name: _suggest(name, value) for name, value in task.space.items()}
    if task.kind == "notebook":
        cell = ["", "import optuna", "", "", "def objective(trial):"]
        cell += [f"    return accuracy({', '.join(suggested.values())})", "", "", *_search(task)]
        return Solution((shlex.join(task.command),), changes=(Change("cells.py", "", "\n".join(cell) + "\n"),))
    folder_lines, folder = folder_of(task, "trial.number")
    lines = [*folder_lines, *body(task, suggested, folder), "return value"]
    search = _search(task)
    modules = imports(task)
    if task.kind == "checkpoint":
        # a trial that was cut off is run again under its number and therefore finds its folder
        modules = "import os\n" + modules
        lines[0] = f"folder = os.path.abspath(f'state/{{{_RETRIED} or trial.number}}')"
        modules += "from optuna.storages import RDBStorage, RetryFailedTrialCallback\n"
        search[0] = search[0].replace("create_study(", f"create_study({_KEEPING}")
    text = f"{modules}import optuna\n\ndef objective(trial):\n" + "".join(f"    {line}\n" for line in lines)
    return Solution(("python tune.py",), {"tune.py": text + "\n" + "\n".join(search) + "\n"})


def _suggest(name: str, value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range):
        kind = "int" if value.whole else "float"
        return f"trial.suggest_{kind}('{name}', {value.low}, {value.high}{', log=True' if value.log else ''})"
    choices = [True, False] if isinstance(value, Switch) else list(value)
    return f"trial.suggest_categorical('{name}', {choices})"


def _search(task: Task) -> list[str]:
    return [
        f'study = optuna.create_study(direction="{task.goal}")',
        f"study.optimize(objective, n_trials={TRIALS}, n_jobs={AT_A_TIME})",
        "print(study.best_value, study.best_params)",
    ]
