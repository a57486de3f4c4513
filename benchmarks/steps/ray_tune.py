"""Ray Tune."""

from __future__ import annotations

import shlex

from benchmarks.steps.solution import Change, Solution
from benchmarks.steps.tasks import AT_A_TIME, TRIALS, Range, Switch, Task
from benchmarks.steps.wrapper import body, folder_of, imports

_RUN_CONFIG = 'run_config=tune.RunConfig(name="s", storage_path=os.path.join(HERE, "results"))'
_MODE = {"minimize": "min", "maximize": "max"}
_SEARCH = """\
search = RandomizedSearchCV(
    make_pipeline(StandardScaler(), SVC()),
    {
        "standardscaler": [StandardScaler(), MinMaxScaler()],
        "svc__C": loguniform(0.01, 100),
        "svc__gamma": loguniform(1e-4, 1),
    },
    n_iter=12,
    n_jobs=2,
    cv=3,
    random_state=0,
)
search.fit(train, train_digits)
print(f"best: {search.best_params_}, {search.best_score_:.3f} in cross-validation")
"""


def solution(task: Task) -> Solution | None:
    """None for what its users do with other tools: sweeps of Hydra."""
    if task.kind == "hydra":
        return None
    if task.kind == "sklearn":
        return _searched(task)
    if task.kind == "notebook":
        lines = [f'tune.report({{"{task.metric}": accuracy(**config)}})']
        cell = ["", "from ray import tune", "from ray.tune.search.optuna import OptunaSearch", "", ""]
        cell += ["def objective(config):", *(f"    {line}" for line in lines), "", "", *_search(task)]
        return Solution((shlex.join(task.command),), changes=(Change("cells.py", "", "\n".join(cell) + "\n"),))
    values = {name: f"config['{name}']" for name in task.space}
    folder_lines, folder = folder_of(task, "tune.get_context().get_trial_id()")
    lines = ["os.chdir(HERE)", *folder_lines, *body(task, values, folder), f'tune.report({{"{task.metric}": value}})']
    modules = imports(task) if "import os\n" in imports(task) else "import os\n" + imports(task)
    text = modules + "from ray import tune\nfrom ray.tune.search.optuna import OptunaSearch\n\nHERE = os.getcwd()\n\n"
    text += "def objective(config):\n" + "".join(f"    {line}\n" for line in lines)
    search = _search(task)
    if task.kind == "checkpoint":
        storage_path = 'os.path.join(HERE, "results", "s")'
        search = [
            f"if tune.Tuner.can_restore({storage_path}):",
            f"    tuner = tune.Tuner.restore({storage_path}, objective, resume_unfinished=True)",
            "else:",
            f"    {search[0][:-1]}, {_RUN_CONFIG})",
            *search[1:],
        ]
    return Solution(("python tune_it.py",), {"tune_it.py": text + "\n" + "\n".join(search) + "\n"})


def _searched(task: Task) -> Solution:
    new = (
        "from ray import tune\nfrom ray.tune.search.optuna import OptunaSearch\n"
        "from sklearn.model_selection import cross_val_score\n\n\ndef objective(config):\n"
        "    model = make_pipeline(StandardScaler(), SVC()).set_params(**config)\n"
        '    tune.report({"score": cross_val_score(model, train, train_digits, cv=3).mean()})\n\n\n'
        'space = {"standardscaler": tune.choice([StandardScaler(), MinMaxScaler()]),\n'
        '         "svc__C": tune.loguniform(0.01, 100), "svc__gamma": tune.loguniform(1e-4, 1)}\n'
        f"best = {_tuner(task, 'space')}.fit().get_best_result()\n"
        "search = make_pipeline(StandardScaler(), SVC()).set_params(**best.config).fit(train, train_digits)\n"
        "print(f\"best: {best.config}, {best.metrics['score']:.3f} in cross-validation\")\n"
    )
    return Solution((shlex.join(task.command),), changes=(Change("search.py", _SEARCH, new),))


def _tuner(task: Task, space: str) -> str:
    config = (
        f'tune.TuneConfig(metric="{task.metric}", mode="{_MODE[task.goal]}", num_samples={TRIALS}, '
        f"max_concurrent_trials={AT_A_TIME}, search_alg=OptunaSearch())"
    )
    return f"tune.Tuner(objective, param_space={space}, tune_config={config})"


def _search(task: Task) -> list[str]:
    space = ", ".join(f"'{name}': {_drawn(value)}" for name, value in task.space.items())
    return [
        f"tuner = {_tuner(task, f'{{{space}}}')}",
        "best = tuner.fit().get_best_result()",
        "print(best.metrics, best.config)",
    ]


def _drawn(value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range):
        end = value.high + 1 if value.whole else value.high
        kind = {
            (True, True): "lograndint",
            (True, False): "randint",
            (False, True): "loguniform",
            (False, False): "uniform",
        }
        return f"tune.{kind[value.whole, value.log]}({value.low}, {end})"
    return f"tune.choice({[True, False] if isinstance(value, Switch) else list(value)})"
