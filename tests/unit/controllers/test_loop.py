"""What a loop of controllers survives: everything."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from orchestune.controllers.loop import Loop
from orchestune.errors import StoreUnavailable
from tests.unit.server.harness import scripted_core


class Counting:
    """Ticks, and says when it did."""

    def __init__(self) -> None:
        self.ticked = threading.Event()

    def tick(self) -> None:
        self.ticked.set()


def after(errors: list[Exception]) -> Callable[[], bool]:
    """Whether this server leads: it is known once these errors are over."""

    def leads() -> bool:
        if errors:
            raise errors.pop(0)
        return True

    return leads


@pytest.mark.parametrize("error", [StoreUnavailable("the store is away"), RuntimeError("a fault")])
def test_a_loop_goes_on_once_it_is_known_again_that_this_server_leads(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    counting, errors = Counting(), [error, error]
    loop = Loop("judging", scripted_core(), (counting,), seconds=0.01, leads=after(errors))
    loop.start()
    assert counting.ticked.wait(60)
    loop.stop(60)
    assert errors == []
    assert len(caplog.records) == (1 if isinstance(error, StoreUnavailable) else 2)
