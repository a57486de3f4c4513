"""A loop of controllers survives everything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from orchestune.controllers import loop as loops
from orchestune.controllers.loop import ControllerLoop
from orchestune.errors import StoreUnavailable
from tests.unit.server.harness import scripted_core


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "_ERROR_PAUSE_SECONDS", 0.01)


class Counting:
    """Ticks, and says when it did."""

    def __init__(self) -> None:
        self.ticked = threading.Event()

    def tick(self) -> None:
        self.ticked.set()


def after(errors: list[Exception]) -> Callable[[], bool]:
    """Return True if this server leads: known once these errors are over."""

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
    loop = ControllerLoop("judging", scripted_core(), (counting,), seconds=0.01, leads=after(errors))
    loop.start()
    assert counting.ticked.wait(60)
    loop.stop(60)
    assert errors == []
    assert len(caplog.records) == 1, "the same trouble is told once"


class Failing(Counting):
    """Fails with these errors, one after the other, and then no more; None is a tick between them that works."""

    def __init__(self, errors: list[Exception | None]) -> None:
        super().__init__()
        self.errors = errors

    def tick(self) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        if not self.errors:
            super().tick()


def test_a_controllers_trouble_is_told_once_until_it_passes_or_is_another(caplog: pytest.LogCaptureFixture) -> None:
    away, fault = StoreUnavailable("the bucket is away"), RuntimeError("a fault")
    failing, counting = Failing([away, away, fault, fault, away, None, away]), Counting()
    with caplog.at_level(logging.INFO):
        loop = ControllerLoop("removing", scripted_core(), (failing, counting), seconds=0.01, quiet=0.0)
        loop.start()
        assert failing.ticked.wait(60)
        loop.stop(60)
    assert counting.ticked.is_set(), "the others go on"
    retry_message = "Failing will be retried: the bucket is away"
    assert [record.message for record in caplog.records] == [
        *(retry_message, "Failing failed", retry_message, "Failing has recovered"),
        *(retry_message, "Failing has recovered"),
    ]


def test_trouble_has_not_passed_while_it_comes_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    full = StoreUnavailable("the disk is full")
    failing = Failing([full, None, full, None, None, full])
    with caplog.at_level(logging.INFO):
        loop = ControllerLoop("failing", scripted_core(), (failing,), seconds=0.01)
        loop.start()
        assert failing.ticked.wait(60)
        loop.stop(60)
    assert [record.message for record in caplog.records] == ["Failing will be retried: the disk is full"]
