"""Orchestune."""

from __future__ import annotations

import shlex

from benchmarks.steps.solution import Change, Solution
from benchmarks.steps.tasks import AT_A_TIME, TRIALS, Range, Space, Switch, Task


def solution(task: Task) -> Solution:
    """A command line, or a line of Python where the program is one that searches already."""
    if task.kind == "hydra":
        words = ["hydra/sweeper=orchestune", f"hydra.sweeper.budget={TRIALS}", f"hydra.sweeper.parallelism={AT_A_TIME}"]
        return Solution((shlex.join([*task.command, "-m", *words, *hydra_space(task)]),))
    if task.kind == "sklearn":
        old, new = "from sklearn.model_selection import RandomizedSearchCV", "from orchestune.sklearn import SearchCV"
        return Solution(
            (shlex.join(task.command),), changes=(Change("search.py", old, f"{new} as RandomizedSearchCV"),)
        )
    if task.kind == "notebook":
        cell = (
            "\nimport orchestune\n\n"
            f"print(orchestune.tune(accuracy, {_document(task.space)!r}, "
            f'{{"{task.metric}": "{task.goal}"}}, {TRIALS}, {AT_A_TIME}).best())\n'
        )
        return Solution((shlex.join(task.command),), changes=(Change("cells.py", "", cell),))
    return Solution((_run(task),))


def hydra_space(task: Task) -> list[str]:
    """The overrides that say what is searched, as every sweeper takes them."""
    return [f"{name}={_hydra(value)}" for name, value in task.space.items()]


def _run(task: Task) -> str:
    words = ["orchestune", "run", f"--{task.goal}", task.metric]
    words += [f"{name}={_range(value)}" for name, value in task.space.items()]
    tail = [*task.command, "{args}"]
    if task.kind == "config":
        words += ["--config", "conf/base.toml" if task.example.startswith("13") else "base.json"]
        tail[-1] = "{config}"
    if not task.printed:
        words += ["--set", "collect={csv: history.csv}"]
    if task.kind == "checkpoint":
        words += ["--set", "checkpoint=1m"]
        tail = [" ".join([*tail, "--state $ORCHESTUNE_CHECKPOINT_DIR"])]
    return shlex.join([*words, "--budget", str(TRIALS), "--parallel", str(AT_A_TIME), "--", *tail])


def _range(value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range):
        return f"{value.low}..{value.high}{':log' if value.log else ''}"
    return "true,false" if isinstance(value, Switch) else ",".join(value)


def _hydra(value: Range | Switch | tuple[str, ...]) -> str:
    assert isinstance(value, Range)
    text = f"interval({value.low}, {value.high})"
    return f"tag(log, {text})" if value.log else text


def _document(space: Space) -> dict[str, object]:
    return {
        name: _range(value).replace(":log", " log") if isinstance(value, Range) else list(value)
        for name, value in space.items()
        if not isinstance(value, Switch)
    }
