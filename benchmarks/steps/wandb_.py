"""Sweeps of Weights & Biases, which take an account of the service: written by its documentation, and not run here."""

from __future__ import annotations

import json

from benchmarks.steps.solution import Change, Solution
from benchmarks.steps.tasks import TRIALS, Range, Space, Switch, Task
from benchmarks.steps.wrapper import body, folder_of, imports

_STARTS = (
    "wandb login",
    "wandb sweep sweep.yaml",
    "wandb agent ID",
    "wandb agent ID  # in a second shell: two at a time",
)


def solution(task: Task) -> Solution | None:
    """A file for the sweep, a program that logs, and an agent for each trial at a time.

    None where a program that searches by itself takes no tool around it, and where trials would have to be resumed.
    """
    if task.kind in ("sklearn", "checkpoint"):
        return None
    if task.kind == "notebook":
        cell = (
            "\nimport wandb\n\n\ndef measured():\n    with wandb.init() as run:\n"
            f'        run.log({{"{task.metric}": accuracy(**run.config)}})\n\n\n'
            f"sweep = wandb.sweep({{'method': 'bayes', 'metric': {{'name': '{task.metric}', 'goal': '{task.goal}'}}, "
            f"'parameters': {_document(task.space)}}})\nwandb.agent(sweep, measured, count={TRIALS})\n"
        )
        commands = ("wandb login", " ".join(task.command))
        changes = (Change(task.command[-1], "", cell),)
        return Solution(commands, changes=changes, account=True, without="one trial at a time")
    if task.command[0] == "python" and task.kind != "config":
        last = Change(task.command[-1], "", f'import wandb; wandb.init().log({{"{task.metric}": value}})\n')
        return Solution(_STARTS, {"sweep.yaml": _sweep(task, task.command[-1])}, (last,), account=True)
    folder_lines, folder = folder_of(task, "run.id")
    lines = [*folder_lines, *body(task, {name: f"run.config['{name}']" for name in task.space}, folder)]
    wrapper = f"{imports(task)}import wandb\n\nrun = wandb.init()\n" + "\n".join(lines)
    wrapper += f'\nrun.log({{"{task.metric}": value}})\n'
    return Solution(_STARTS, {"sweep.yaml": _sweep(task, "logged.py"), "logged.py": wrapper}, account=True)


def _sweep(task: Task, program: str) -> str:
    lines = [f"program: {program}", "method: bayes", f"metric: {{name: {task.metric}, goal: {task.goal}}}"]
    if task.kind == "hydra":
        lines.append("command: [python, '${program}', '${args_no_hyphens}']")
    parameters = [f"  {line}" for line in _parameters(task.space)]
    return "\n".join([*lines, f"run_cap: {TRIALS}", "parameters:", *parameters]) + "\n"


def _parameters(space: Space) -> list[str]:
    return [f"{name}: {json.dumps(about)}" for name, about in _document(space).items()]


def _document(space: Space) -> dict[str, dict[str, object]]:
    parameters: dict[str, dict[str, object]] = {}
    for name, value in space.items():
        if isinstance(value, Range):
            kind = {"distribution": "log_uniform_values"} if value.log else {}
            parameters[name] = {**kind, "min": value.low, "max": value.high}
        else:
            parameters[name] = {"values": [True, False] if isinstance(value, Switch) else list(value)}
    return parameters
