from __future__ import annotations

import doctest
import inspect
import os
from pathlib import Path

import pytest

import orchestune

NAMES = [name for name in orchestune.__all__ if not name.startswith("__")]
TYPES = {"Params"}
"""what functions return; their examples are those of the functions"""


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_tells_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(getattr(orchestune, name))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TYPES])
def test_the_example_of_a_public_name_runs_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [variable for variable in os.environ if variable.startswith("ORCHESTUNE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(
        inspect.getdoc(getattr(orchestune, name)) or "", {}, f"orchestune.{name}", None, 0
    )
    assert test.examples, f"orchestune.{name} shows no example"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
