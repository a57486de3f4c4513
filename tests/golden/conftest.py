"""The option `--update-golden` and the fixtures of golden tests."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.cli.main import main
from tests.golden.command_line import Run
from tests.golden.expected_files import Golden
from tests.golden.lab import HOST
from tests.golden.stage import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that rewrites the expected files."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/expected from this run")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The expected files of the test's module, which names their folder: `test_events.py` has `expected/events`."""
    group = request.path.stem.removeprefix("test_")
    # without a default it would raise where pytest was started above this folder, which loads this file too late
    return Golden(group, update=bool(request.config.getoption("update_golden", default=False)))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A core with a fake clock, and workers that a scenario moves by hand."""
    stage = Stage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A width, no colours, and a user, host and home folder that are the same everywhere."""
    for name in list(os.environ):
        if name.startswith(("ORCHESTUNE_", "XDG_")) or name in ("FORCE_COLOR", "PYTHON_COLORS"):
            monkeypatch.delenv(name)
    names = {"COLUMNS": "100", "NO_COLOR": "1", "LOGNAME": "ada", "USER": "ada", "LANG": "C.UTF-8", "TZ": "UTC"}
    for name, value in {**names, "HOME": str(tmp_path), "ORCHESTUNE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no command asks


@pytest.fixture
def run(surroundings: None, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process."""

    def run(*words: str) -> tuple[int, str, str]:
        try:
            code = main(list(words))
        except SystemExit as exc:  # argparse's --help
            code = int(exc.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
