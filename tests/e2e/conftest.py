"""A home for the tests of one file, and one of its own for those that take the server away."""

from __future__ import annotations

from collections.abc import Iterator

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
