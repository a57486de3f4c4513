from __future__ import annotations

import select
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from orchestune.worker.waker import Waker


@pytest.fixture
def waker() -> Iterator[Waker]:
    waker = Waker()
    yield waker
    waker._loops.close()
    waker._others.close()


def woken(waker: Waker) -> bool:
    return bool(select.select([waker], [], [], 0)[0])


def test_a_waker_wakes_until_it_was_heard_and_then_again(waker: Waker) -> None:
    assert not woken(waker)
    for _ in range(3):
        waker.wake()
        waker.wake()
        assert woken(waker)
        waker.drain()
        assert not woken(waker)


def test_whoever_wakes_while_it_is_heard_keeps_nobody_from_waking_later(
    waker: Waker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        """A thread has its turn just before the byte is taken."""

        def __init__(self, loops: Any) -> None:
            self._loops = loops

        def recv(self, size: int) -> bytes:
            waker.wake()
            return bytes(self._loops.recv(size))

    waker.wake()
    with monkeypatch.context() as patch:
        patch.setattr(waker, "_loops", Interrupted(waker._loops))
        waker.drain()
    waker.wake()
    assert woken(waker)


@pytest.fixture
def without_wakeup() -> Iterator[None]:
    before = signal.set_wakeup_fd(-1)
    handler = signal.signal(signal.SIGUSR1, lambda *_: None)
    yield
    signal.signal(signal.SIGUSR1, handler)
    signal.set_wakeup_fd(before)


@pytest.mark.usefixtures("without_wakeup")
def test_a_signal_wakes_and_so_does_a_thread_after_it(waker: Waker) -> None:
    waker.listen_to_signals()
    signal.raise_signal(signal.SIGUSR1)
    assert woken(waker)
    waker.drain()
    thread = threading.Thread(target=waker.wake)
    thread.start()
    thread.join()
    assert woken(waker)
