from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest

import orchestune
import orchestune.errors
from tests.testbeds.docstrings import run_example

NAMES = [name for name in orchestune.__all__ if not name.startswith("__")]
SERVED = {"Experiment", "OpenTrial", "Trial", "tune", "tune_async"}
"""what takes a server, and runs in tests/e2e"""


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_tells_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(getattr(orchestune, name))


@pytest.mark.parametrize("name", ["errors", *(name for name in NAMES if name not in SERVED)])
def test_the_example_of_a_public_name_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("ORCHESTUNE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    run_example(name)
