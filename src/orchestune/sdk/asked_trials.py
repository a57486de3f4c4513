"""Trials that this process runs itself, claimed from the offers of `orchestune.sdk.bridge`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestune.client.states import guarded
from orchestune.errors import Conflict
from orchestune.sdk.bridge import OFFER
from orchestune.sdk.parameters import Params
from orchestune.sdk.reporting import by_name, records
from orchestune.system import local_socket

if TYPE_CHECKING:
    from orchestune import documents

_MIN_LOOK_SECONDS, _MAX_LOOK_SECONDS = 0.001, 0.05
"""bounds of the seconds between two looks for offers"""
_ANSWER_TIMEOUT_SECONDS = 10.0
"""seconds for the process behind an offer to describe its trial"""


class OpenTrial:
    """A trial that this process runs. Report its metrics and its outcome from any thread.

    As a context manager it sets the outcome itself: an exception in the block fails the trial, with the traceback in
    the trial's log, and is not propagated; an exception after the outcome is printed. If the process exits without an
    outcome, the trial is offered to the next caller of `ask`. It has a `number`, a `seed` and its `parameters`, as
    returned by `orchestune.params()`. With `folds`, each fold is a trial of its own: `fold` is its index, from 0.

    >>> import orchestune
    >>> experiment = orchestune.Experiment.create(parameters={"x": "1..9"}, metrics={"y": "maximize"}, budget=9)
    >>> with experiment.ask() as trial:
    ...     for step in range(3):
    ...         trial.report(y=trial.parameters.x * step, step=step)
    ...         if trial.should_stop():
    ...             break
    >>> trial.over
    True
    """

    def __init__(self, line: Connection[Any, Any], about: Mapping[str, Any]) -> None:
        self._line, self._process = line, os.getpid()
        self._send_lock = threading.RLock()  # a signal handler may send while its own thread is sending
        self.number = int(about["number"])
        self.seed = int(about["seed"])
        self.fold = int(about["fold"])
        self.parameters = Params(about["parameters"])
        self._stop = False
        self._over = False
        self._reported = False
        self.looped = False
        """True if a loop yielded it; the loop finishes it after its iteration, or releases it when the loop is left"""
        self.asked_in = _current_statement()
        self.asked_by: weakref.ref[asyncio.Task[Any]] | None = None
        """the task that asked for it, if it was one"""

    def report(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: float | None = None,
        stddev: float | Mapping[str, float] | None = None,
        **values: Any,
    ) -> None:
        """Report metrics, like `orchestune.report` inside a trial. Raises Conflict if the trial has its outcome.

        >>> trial = experiment.ask()
        >>> for step in range(3):
        ...     trial.report({"y": step / 2}, step=step)
        >>> trial.finish()
        """
        lines = records(by_name(metrics, values), step, stddev)
        self._send("report", "".join(json.dumps(line) + "\n" for line in lines))
        self._reported = self._reported or bool(lines)

    def should_stop(self) -> bool:
        """Return True if this trial should end now, because it was pruned or stopped.

        >>> with experiment.ask() as trial:
        ...     trial.report(y=0.5, step=1)
        ...     trial.should_stop()
        False
        """
        if not self._over:
            self._send("report", "")
        return self._stop

    def tell(self, metrics: Mapping[str, Any] | None) -> None:
        """Set the outcome: metrics, or None if the trial failed. Raises Conflict if it has an outcome.

        >>> experiment.ask().tell({"y": 0.9})
        """
        if metrics is None:
            self.fail("reported as failed")
        else:
            self.report(metrics)
            self.finish()

    def fail(self, reason: str) -> None:
        """Fail the trial for this reason.

        >>> experiment.ask().fail("there is no such x")
        """
        self._end("failed", reason)

    def finish(self) -> None:
        """Finish the trial with the reported metrics. If declared metrics are missing, it has failed.

        >>> trial = experiment.ask()
        >>> trial.report(y=0.7)
        >>> trial.finish()
        """
        self._end("done", "")

    @property
    def over(self) -> bool:
        """True if the trial has its outcome.

        >>> trial = experiment.ask()
        >>> trial.tell({"y": 0.3})
        >>> trial.over
        True
        """
        return self._over

    def give_back(self) -> None:
        """Release the trial without an outcome; the next caller of `ask` gets it.

        >>> trial = experiment.ask()
        >>> trial.give_back()
        >>> experiment.ask().parameters == trial.parameters
        True
        """
        self._over = True
        if not self._line.closed and os.getpid() == self._process:
            with suppress(OSError), socket.socket(fileno=os.dup(self._line.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)  # forked processes hold the connection too
        self._line.close()

    def __enter__(self) -> OpenTrial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if exc is not None and not isinstance(exc, Exception):
            self.give_back()
            return False
        if not self._over:
            if exc is not None:
                self.fail("".join(traceback.format_exception(exc)))
            elif self._reported or not self.looped:  # otherwise only the loop knows the end
                self.finish()
        elif exc is not None:
            traceback.print_exception(exc)  # the log of a trial with an outcome is closed
        return exc is not None

    def __del__(self) -> None:
        self._line.close()

    def _end(self, kind: str, text: str) -> None:
        self._send(kind, text)
        self.give_back()

    def _send(self, kind: str, text: str) -> None:
        with self._send_lock:
            if self._over:
                raise Conflict(f"trial {self.number} already has its outcome", "get another trial with ask()")
            try:
                self._line.send_bytes(json.dumps([kind, text]).encode())
                self._stop = bool(json.loads(self._line.recv_bytes()))
            except (EOFError, OSError):  # it was stopped and its grace period is over: the outcome is discarded
                self.give_back()
                self._stop = True


def _current_statement() -> tuple[int, int]:
    """Return the thread, and the last error of a statement in a notebook cell or prompt."""
    return threading.get_ident(), id(getattr(sys, "last_value", None))


def release_abandoned(trials: Iterable[OpenTrial]) -> None:
    """Release abandoned trials, which would make `ask` wait forever, with a warning."""
    for trial in filter(_is_abandoned, trials):
        message = f"trial {trial.number} was left open by a failed statement and is offered again"
        warnings.warn(f"{message}; run it in `with trial:` to fail it instead", stacklevel=3)
        trial.give_back()


def _is_abandoned(trial: OpenTrial) -> bool:
    """Return True if this thread asked for the trial, and a statement has failed or was interrupted since.

    Usually that was a loop around it, whose end only a `with` block sees. A task that asked may still be running in the
    background.
    """
    thread, last_error = _current_statement()
    task = trial.asked_by() if trial.asked_by else None
    failed_since = trial.asked_in[0] == thread and trial.asked_in[1] != last_error
    return failed_since and not trial.over and (task is None or task.done())


def assign_to_task(trial: OpenTrial) -> OpenTrial:
    """Assign the trial to the current task, whatever thread claimed it."""
    task = asyncio.current_task()
    trial.asked_in, trial.asked_by = _current_statement(), weakref.ref(task) if task else None
    return trial


@contextmanager
def iteration(trial: OpenTrial) -> Iterator[None]:
    """Run one iteration of a loop, then finish the trial with its reported metrics, or release it.

    It is released if the loop was left.
    """
    trial.looped = True
    try:
        yield
        if not trial.over:
            trial.finish()
    finally:
        if not trial.over:
            trial.give_back()


class PollSchedule:
    """Schedule of the requests for another trial.

    Looking for offers is cheap, and the next one usually comes after milliseconds. Requests to the server are not, and
    only detect that no offer will come.
    """

    def __init__(self, first_interval: float, max_interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with `first_interval` seconds to the first request; each interval is twice the last, up to the max."""
        self._interval, self._max_interval, self._clock = first_interval, max_interval, clock
        self._began = clock()
        self._next = self._began + first_interval

    @property
    def pause(self) -> float:
        """Seconds until the next look for offers: a twentieth of the time waited so far, from 1 to 50 ms."""
        return min(max((self._clock() - self._began) / 20, _MIN_LOOK_SECONDS), _MAX_LOOK_SECONDS)

    def due(self) -> bool:
        """Return True if the next request is due."""
        now = self._clock()
        if now < self._next:
            return False
        self._next, self._interval = now + self._interval, min(2 * self._interval, self._max_interval)
        return True


def warn_if_paused(status: documents.Status, stacklevel: int = 3) -> None:
    """Handle the end of trials: warn with the reason if a guard has paused the experiment."""
    reason = status["reason"]
    if guarded(status) and reason is not None:
        message = f"{status['handle']} is paused and offers no more trials: {reason['message']}; continue with resume()"
        warnings.warn(message, stacklevel=stacklevel)


def claim(folder: Path) -> OpenTrial | None:
    """Claim one of the trials on offer in the folder; None if there is none now."""
    for offer in sorted(folder.glob(f"*{OFFER}")):
        claimed = offer.with_suffix(".taken")
        try:
            offer.rename(claimed)
            path = json.loads(claimed.read_text())["socket"]
            claimed.unlink()
            connection_socket = local_socket.connect(path, _ANSWER_TIMEOUT_SECONDS)
        except OSError:
            continue  # another process claimed it first, or its process has exited
        connection_socket.settimeout(None)
        line: Connection[Any, Any] = Connection(connection_socket.detach())
        try:
            if line.poll(_ANSWER_TIMEOUT_SECONDS):
                return OpenTrial(line, json.loads(line.recv_bytes()))
        except (OSError, EOFError):
            pass
        line.close()
    return None
