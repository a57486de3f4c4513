"""Wakes a loop that waits in a selector, from threads and from signals."""

from __future__ import annotations

import signal
import socket


def leave_signals_to_the_loop() -> None:
    """In a thread of its own: a child's end wakes the loop alone, and not a thread that then wants its turn, too."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])


class Waker:
    """A pair of sockets. While a byte is on its way to the loop no thread sends another one."""

    def __init__(self) -> None:
        self._loops, self._others = socket.socketpair()
        self._loops.setblocking(False)
        self._others.setblocking(False)
        self._woken = False

    def fileno(self) -> int:
        """What a selector waits for."""
        return self._loops.fileno()

    def listen_to_signals(self) -> None:
        """Each signal for which Python has a handler wakes, too."""
        signal.set_wakeup_fd(self._others.fileno(), warn_on_full_buffer=False)

    def wake(self) -> None:
        """From any thread: something happened."""
        if self._woken:
            return
        self._woken = True
        try:
            self._others.send(b"\0")
        except BlockingIOError:  # of signals there are plenty
            pass
        except OSError:
            self._woken = False
            raise

    def heard(self) -> None:
        """In the loop, which looks at everything after that."""
        self._loops.recv(4096)
        self._woken = False  # not before: a byte sent in between would be taken, and nobody would send another
