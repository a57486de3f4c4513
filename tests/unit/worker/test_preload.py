"""Which commands a preloaded process can become."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.worker.processes import preload
from orchestune.worker.processes.preload import Preloader, PythonProgram, Zygote, program


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["python", "a.py", "-m", "x"], PythonProgram("python", (), "a.py", None, ("-m", "x"))),
        (["/v/bin/python3.12", "-uO", "-X", "dev", "-Wignore", "a.py"],
         PythonProgram("/v/bin/python3.12", ("-uO", "-X", "dev", "-Wignore"), "a.py", None, ())),
        (["python3", "-m", "pkg.train", "--x=1"], PythonProgram("python3", (), None, "pkg.train", ("--x=1",))),
    ],
)  # fmt: skip
def test_python_with_a_script_is_taken_apart(command: list[str], expected: PythonProgram) -> None:
    assert program(command) == expected


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["uv", "run", "a.py"], "'uv'"),
        (["pythonic", "a.py"], "'pythonic'"),
        (["sh", "-c", "python a.py && true"], "needs a shell"),
        (["/bin/sh", "-c", "python a.py && true"], "needs a shell"),
        (["python"], "passes no script to Python"),
        (["python", "-"], "passes no script to Python"),
        (["python", "-c", "1"], "passes -c to Python"),
        (["python", "-i", "a.py"], "passes -i to Python"),
        (["python", "--version"], "passes --version to Python"),
    ],
)
def test_what_is_no_python_with_a_script_says_so(command: list[str], why: str) -> None:
    problem = program(command)
    assert isinstance(problem, str) and why in problem


def test_a_process_that_is_given_up_while_somebody_listens_is_of_no_use() -> None:
    zygote, (mine, theirs) = Zygote("python", [], []), socket.socketpair()
    zygote._control = mine  # as the listening thread has seen it
    mine.close()
    zygote.wait(lambda: True)
    theirs.close()
    assert zygote.ready and "has exited" in zygote.error


def test_a_trial_with_older_code_does_not_end_the_process_of_the_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preload, "become_subreaper", lambda: True)  # else this process would adopt what tests orphan
    old: Any = SimpleNamespace(revision=1, preload=["json"], environment=dict(os.environb))
    new: Any = SimpleNamespace(revision=2, preload=["json"], environment=dict(os.environb))
    command = [sys.executable, "train.py"]
    preloader = Preloader(str(tmp_path))
    try:
        first, second = preloader.zygote(old, command), preloader.zygote(new, command)
        assert isinstance(second, Zygote) and first is not second
        assert (
            preloader.zygote(old, command)
            == "this attempt runs older code, and the modules are preloaded for a newer revision"
        )
        assert preloader.zygote(new, command) is second
    finally:
        preloader.shut_down()
