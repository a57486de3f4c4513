"""Wakes up a loop that blocks in a selector, from other threads and from signals."""

from __future__ import annotations

import signal
import socket


def leave_signals_to_the_loop() -> None:
    """Block SIGCHLD in the calling thread, so that it wakes only the loop, not a thread that competes for the GIL."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])


class Waker:
    """A socket pair. While a byte is pending, no thread sends another one."""

    def __init__(self) -> None:
        self._loops, self._others = socket.socketpair()
        self._loops.setblocking(False)
        self._others.setblocking(False)
        self._is_wake_pending = False

    def fileno(self) -> int:
        """Return the descriptor to register in a selector."""
        return self._loops.fileno()

    def listen_to_signals(self) -> None:
        """Wake the loop for every signal with a Python handler, too."""
        signal.set_wakeup_fd(self._others.fileno(), warn_on_full_buffer=False)

    def wake(self) -> None:
        """Wake the loop. Thread-safe."""
        if self._is_wake_pending:
            return
        self._is_wake_pending = True
        try:
            self._others.send(b"\0")
        except BlockingIOError:  # full of signal bytes, so the loop wakes anyway
            pass
        except OSError:
            self._is_wake_pending = False
            raise

    def drain(self) -> None:
        """Reset after a wake-up. The loop must check all its sources afterwards."""
        self._loops.recv(4096)
        # Reset only after `recv`: otherwise it could consume a byte sent in between, and no thread would send another.
        self._is_wake_pending = False
