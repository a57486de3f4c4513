"""Guild AI. Its optimizers run one trial after the other."""

from __future__ import annotations

import shlex

from benchmarks.steps.solution import Solution
from benchmarks.steps.tasks import TRIALS, Range, Space, Switch, Task

_ONE = "one trial at a time"


def solution(task: Task) -> Solution | None:
    """None where Python searches by itself, where trials would have to be resumed, for TOML, and for Hydra."""
    if task.kind in ("sklearn", "notebook", "checkpoint", "hydra") or (task.kind == "config" and not task.printed):
        return None
    operation = task.name
    best = f"guild compare --{_SHORT[task.goal]} value --table"
    run = ["guild", "run", operation, *(f"{name}={_drawn(value)}" for name, value in task.space.items())]
    run += ["--optimizer", "gp", f"--{task.goal}", "value", "--max-trials", str(TRIALS), "--yes"]
    return Solution((shlex.join(run), best), {"guild.yml": _file(task, operation)}, without=_ONE, failure="  error  ")


_SHORT = {"minimize": "min", "maximize": "max"}


def _file(task: Task, operation: str) -> str:
    lines = [f"{operation}:"]
    command = list(task.command)
    if task.kind == "config":
        lines += [f"  exec: {' '.join(command)} base.json", "  flags-dest: config:base.json", "  flags-import: all"]
    else:
        words = "${flag_args}"
        if command[0] == "java":  # the example's reads `--name=value` alone, and those are `--name value`
            words = " ".join(f"--{name}=${{{name}}}" for name in task.space)
        lines += [f"  exec: {' '.join(command)} {words}", "  flags:", *_flags(task.space)]
    return "\n".join([*lines, "  output-scalars:", f"    value: '{task.printed}'"]) + "\n"


def _flags(space: Space) -> list[str]:
    flags = []
    for name, value in space.items():
        if isinstance(value, Switch):
            flags.append(f"    {name}: {{default: no, arg-switch: yes}}")
        elif isinstance(value, Range) and value.whole:
            flags.append(f"    {name}: {{default: {value.low}, type: int}}")
        else:
            flags.append(f"    {name}: {value.low if isinstance(value, Range) else value[0]}")
    return flags


def _drawn(value: Range | Switch | tuple[str, ...]) -> str:
    if isinstance(value, Range) and value.whole:
        return f"[{value.low}:{value.high}]"  # loguniform draws no whole numbers
    if isinstance(value, Range):
        return f"{'loguniform' if value.log else 'uniform'}[{value.low}:{value.high}]"
    return "[yes,no]" if isinstance(value, Switch) else f"[{','.join(value)}]"
