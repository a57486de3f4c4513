"""Guild AI. Its optimizers run one trial after the other."""

from __future__ import annotations

import shlex

from benchmarks.steps.solution import Change, Solution
from benchmarks.steps.tasks import TRIALS, Range, Space, Switch, Task

_ONE = "one trial at a time"


def solution(task: Task) -> Solution | None:
    """None where a program searches by itself, where trials would have to be resumed, for TOML, and for Hydra."""
    if task.kind in ("sklearn", "checkpoint", "hydra") or (task.kind == "config" and not task.printed):
        return None
    if task.kind == "notebook":
        drawn = ", ".join(f"{name}={_python(value)}" for name, value in task.space.items())
        cell = (
            "\nimport guild.ipy as guild\n\n\ndef measured(alpha=1.0, penalty='l1'):\n"
            "    print('accuracy:', accuracy(alpha, penalty))\n\n\n"
            f'guild.run(measured, {drawn}, _optimizer="gp", _maximize="accuracy", _max_trials={TRIALS})\n'
            'print(guild.runs().compare().sort_values("accuracy").tail(1))\n'
        )
        return Solution((shlex.join(task.command),), changes=(Change("cells.py", "", cell),), without=_ONE)
    operation = task.name
    best = f"guild compare --{_SHORT[task.goal]} value --table"
    run = ["guild", "run", operation, *(f"{name}={_drawn(value)}" for name, value in task.space.items())]
    run += ["--optimizer", "gp", f"--{task.goal}", "value", "--max-trials", str(TRIALS), "--yes"]
    return Solution((shlex.join(run), best), {"guild.yml": _file(task, operation)}, without=_ONE)


_SHORT = {"minimize": "min", "maximize": "max"}


def _file(task: Task, operation: str) -> str:
    lines = [f"{operation}:"]
    command = list(task.command)
    if task.kind == "config":
        lines += [f"  exec: {' '.join(command)} base.json", "  flags-dest: config:base.json", "  flags-import: all"]
    else:
        lines += [f"  exec: {' '.join(command)} ${{flag_args}}", "  flags:", *_flags(task.space)]
    return "\n".join([*lines, "  output-scalars:", f"    value: '{task.printed}'"]) + "\n"


def _flags(space: Space) -> list[str]:
    found = []
    for name, value in space.items():
        if isinstance(value, Switch):
            found.append(f"    {name}: {{default: no, arg-switch: yes}}")
        elif isinstance(value, Range) and value.whole:
            found.append(f"    {name}: {{default: {value.low}, type: int}}")
        else:
            found.append(f"    {name}: {value.low if isinstance(value, Range) else value[0]}")
    return found


def _drawn(value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range):
        return f"{'loguniform' if value.log else 'uniform'}[{value.low}:{value.high}]"
    return "[yes,no]" if isinstance(value, Switch) else f"[{','.join(value)}]"


def _python(value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range):
        return f"guild.{'loguniform' if value.log else 'uniform'}({value.low}, {value.high})"
    return repr([True, False] if isinstance(value, Switch) else list(value))
