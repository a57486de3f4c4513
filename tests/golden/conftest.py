"""The option `--update-golden` and the fixtures of golden tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden.expected_files import Golden
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
