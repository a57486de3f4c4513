"""The counted steps with Orchestune suffice."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.steps.own import solution
from benchmarks.steps.tasks import TASKS, TRIALS, Task
from tests.testbeds.home import Home

ALONE = [task for task in TASKS if task.title in ("argparse", "config file", "checkpoint and resume")]
"""a way into a program each; the examples have the others"""


@pytest.mark.parametrize("task", ALONE, ids=lambda task: task.name)
def test_one_command_finds_the_best_configuration(task: Task, shared_home: Home, tmp_path: Path) -> None:
    task.lay_out(tmp_path)
    shortest = solution(task)
    shortest.lay_out(tmp_path)
    [command] = shortest.commands
    command = command.replace(f"--budget {TRIALS}", "--budget 2")
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=shared_home.env, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}{shared_home.server_log()}"
    assert re.search(rf"^best  {re.escape(task.metric)} \S+ at trial [12]$", done.stdout, re.MULTILINE), done.stdout
