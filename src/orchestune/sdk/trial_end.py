"""Graceful early stopping from inside a trial."""

from __future__ import annotations

import os
import signal
import threading

_signals: list[bool] = []  # not an Event: a second signal may arrive while the handler of the first holds its lock
_installed: list[bool] = []


def should_stop() -> bool:
    """Return True if this trial should end now, because it was pruned or stopped. Always False outside a trial.

    Call it after each step; a call takes microseconds and never waits for the network. After the first call, SIGTERM no
    longer terminates the script but makes the result True (unless the script has its own handler), and the script has
    the `grace` of its experiment to save its files. It should then return or exit with 0.

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
    _install_handler()
    return bool(_signals) or os.path.exists(path)


def _install_handler() -> None:
    """Install a SIGTERM handler, once, unless the script has its own. Only possible in the main thread."""
    if _installed or threading.current_thread() is not threading.main_thread():
        return
    _installed.append(True)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: _signals.append(True))
