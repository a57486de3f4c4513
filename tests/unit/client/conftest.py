"""Fixtures of the client's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.fake_server import FakeServer, status


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server with one experiment."""
    with FakeServer() as fake:
        fake.put(status())
        yield fake
