from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestune.server.rate_limits import FailedSignIns
from tests.unit.server.harness import Live, Script, live


@pytest.fixture(scope="module")
def _module_server() -> Iterator[Live]:
    with live() as server:
        yield server


@pytest.fixture
def server(_module_server: Live) -> Iterator[Live]:
    """A server that is started once per module; its script is new for each test."""
    fresh = Script()
    _module_server.script.answers = fresh.answers
    _module_server.script.calls.clear()
    _module_server.ordered.clear()
    object.__setattr__(_module_server.context, "failures", FailedSignIns())  # tests guess tokens from one address
    yield _module_server
    _module_server.hang_up()
