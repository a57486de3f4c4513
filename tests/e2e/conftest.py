"""A home for the tests of one file, and one of its own for those that take the server away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbeds.home import Home


@pytest.fixture(scope="module")
def shared_home() -> Iterator[Home]:
    with Home() as home:
        yield home


@pytest.fixture
def home() -> Iterator[Home]:
    with Home() as home:
        yield home


@pytest.fixture
def at_home(shared_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This very process is a user of the shared home, in a folder of its own."""
    for name in [name for name in os.environ if name.startswith("ORCHESTUNE_")]:
        monkeypatch.delenv(name)
    for name, value in shared_home.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
