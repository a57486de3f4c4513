"""Ending early, and in order, from inside a trial."""

from __future__ import annotations

import os
import signal
import threading

_told: list[bool] = []  # no Event: a second signal may come while the handler of the first one holds its lock
_listening: list[bool] = []


def should_stop() -> bool:
    """Whether this trial is to end now: it is not worth finishing, or was stopped. Always False by hand.

    Ask after each step; a question costs microseconds and never waits for the network. Who asks says that the script
    ends by itself: from the first question on, SIGTERM only makes the answer True (where no handler of the script's own
    takes it), and the script has the `grace` of its experiment to write what it wants to keep. It then should return or
    exit with 0.

    >>> import orchestune
    >>> for epoch in range(3):
    ...     orchestune.report(step=epoch, loss=1 / (epoch + 1))
    ...     if orchestune.should_stop():
    ...         break
    loss=1.0
    loss=0.5
    loss=0.3333333333333333
    """
    path = os.environ.get("ORCHESTUNE_STOP")
    if not path:
        return False
    _listen()
    return bool(_told) or os.path.exists(path)


def _listen() -> None:
    """Take SIGTERM, once, where the script leaves it to the system. Other threads than the main one may not."""
    if _listening or threading.current_thread() is not threading.main_thread():
        return
    _listening.append(True)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: _told.append(True))
