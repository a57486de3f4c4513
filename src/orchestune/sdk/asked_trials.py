"""Trials that this process runs itself: taken from the offers of `orchestune.sdk.bridge`."""

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

_ANSWERS = 10.0
"""seconds in which the process behind an offer says which trial it is"""


class OpenTrial:
    """A trial that this process runs: report what is measured, or tell the outcome, from any of its threads.

    As a context it tells the outcome itself: an exception of the block makes the trial fail, with its traceback in the
    trial's log, and goes no further; one that comes after the outcome is printed. A process that ends without an
    outcome gives the trial back to whoever asks next. It has a `number`, a `seed` and its `parameters`, as
    `orchestune.params()` gives them. With `folds` each fold of a trial comes by itself: `fold` says which one, from 0.

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
        self._speaking = threading.RLock()  # a signal's handler may speak within a sentence of its own thread
        self.number = int(about["number"])
        self.seed = int(about["seed"])
        self.fold = int(about["fold"])
        self.parameters = Params(about["parameters"])
        self._stop = False
        self._over = False
        self._reported = False
        self.looped = False
        """whether a loop offered it, which ends it after its turn and gives it back when it is left"""
        self.asked_in = _statement()
        self.asked_by: weakref.ref[asyncio.Task[Any]] | None = None
        """the task of this thread that asked, if it was one"""

    def report(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        step: float | None = None,
        stddev: float | Mapping[str, float] | None = None,
        **values: Any,
    ) -> None:
        """As `orchestune.report` inside a trial. Conflict where the trial has its outcome.

        >>> trial = experiment.ask()
        >>> for step in range(3):
        ...     trial.report({"y": step / 2}, step=step)
        >>> trial.finish()
        """
        lines = records(by_name(metrics, values), step, stddev)
        self._say("report", "".join(json.dumps(line) + "\n" for line in lines))
        self._reported = self._reported or bool(lines)

    def should_stop(self) -> bool:
        """Whether this trial is to end now: it is not worth finishing, or was stopped.

        >>> with experiment.ask() as trial:
        ...     trial.report(y=0.5, step=1)
        ...     trial.should_stop()
        False
        """
        if not self._over:
            self._say("report", "")
        return self._stop

    def tell(self, metrics: Mapping[str, Any] | None) -> None:
        """Its outcome: metrics, or None where it failed. Conflict where it has one.

        >>> experiment.ask().tell({"y": 0.9})
        """
        if metrics is None:
            self.fail("told that it failed")
        else:
            self.report(metrics)
            self.finish()

    def fail(self, reason: str) -> None:
        """Its outcome is a failure, for this reason.

        >>> experiment.ask().fail("there is no such x")
        """
        self._end("failed", reason)

    def finish(self) -> None:
        """Its outcome is what was reported. Without the declared metrics it counts as failed.

        >>> trial = experiment.ask()
        >>> trial.report(y=0.7)
        >>> trial.finish()
        """
        self._end("done", "")

    @property
    def over(self) -> bool:
        """Whether it has its outcome.

        >>> trial = experiment.ask()
        >>> trial.tell({"y": 0.3})
        >>> trial.over
        True
        """
        return self._over

    def give_back(self) -> None:
        """Run it no more; whoever asks next gets it.

        >>> trial = experiment.ask()
        >>> trial.give_back()
        >>> experiment.ask().parameters == trial.parameters
        True
        """
        self._over = True
        if not self._line.closed and os.getpid() == self._process:
            with suppress(OSError), socket.socket(fileno=os.dup(self._line.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)  # processes that were forked from this one hold the line too
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
            elif self._reported or not self.looped:  # else the loop may be left here, which only the loop knows
                self.finish()
        elif exc is not None:
            traceback.print_exception(exc)  # the log of a trial that has its outcome is closed
        return exc is not None

    def __del__(self) -> None:
        self._line.close()

    def _end(self, word: str, said: str) -> None:
        self._say(word, said)
        self.give_back()

    def _say(self, word: str, said: str) -> None:
        with self._speaking:
            if self._over:
                raise Conflict(f"trial {self.number} has its outcome already", "ask for another one")
            try:
                self._line.send_bytes(json.dumps([word, said]).encode())
                self._stop = bool(json.loads(self._line.recv_bytes()))
            except (EOFError, OSError):  # it was stopped, and the grace is over: nobody wants the outcome
                self.give_back()
                self._stop = True


def _statement() -> tuple[int, int]:
    """The thread, and the last error with which a typed statement ended, such as a cell of a notebook."""
    return threading.get_ident(), id(getattr(sys, "last_value", None))


def offer_again(trials: Iterable[OpenTrial]) -> None:
    """Give back those of them that nobody works at any more, for which who asks would wait for ever."""
    for trial in filter(_left, trials):
        words = f"trial {trial.number} was left open where a statement failed, and is offered again"
        warnings.warn(f"{words}; `with trial:` around its work tells that by itself", stacklevel=3)
        trial.give_back()


def _left(trial: OpenTrial) -> bool:
    """Whether this thread asked for it, and a typed statement has failed or was interrupted since: as a rule that was a
    loop around it, which only a `with` block sees the end of. A task that asked may go on behind later statements.
    """
    thread, failed = _statement()
    task = trial.asked_by() if trial.asked_by else None
    here = trial.asked_in[0] == thread and trial.asked_in[1] != failed
    return here and not trial.over and (task is None or task.done())


def asked_by_task(trial: OpenTrial) -> OpenTrial:
    """The trial as one of the task that runs, whatever thread it was taken in."""
    task = asyncio.current_task()
    trial.asked_in, trial.asked_by = _statement(), weakref.ref(task) if task else None
    return trial


@contextmanager
def turn(trial: OpenTrial) -> Iterator[None]:
    """A trial's turn in a loop; it is finished by what it reported, or given back where the loop was left."""
    trial.looped = True
    try:
        yield
        if not trial.over:
            trial.finish()
    finally:
        if not trial.over:
            trial.give_back()


class PruningLooks:
    """When to ask the server whether there will be another trial: offers are files and cost nothing, this does."""

    def __init__(self, first: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`first`: seconds from the first look to the second; each rest is twice the one before, up to `longest`."""
        self._rest, self._longest, self._clock = first, longest, clock
        self._next = clock()

    def due(self) -> bool:
        """Whether to look now."""
        now = self._clock()
        if now < self._next:
            return False
        self._next, self._rest = now + self._rest, min(2 * self._rest, self._longest)
        return True


def nothing_more(status: documents.Status, stacklevel: int = 3) -> None:
    """There will be no further trial; where that is because a guard paused the experiment, a warning says why."""
    reason = status["reason"]
    if guarded(status) and reason is not None:
        words = f"{status['handle']} is paused, and offers no more trials: {reason['message']}; resume() lets it go on"
        warnings.warn(words, stacklevel=stacklevel)


def take(folder: Path) -> OpenTrial | None:
    """One of the trials on offer in the folder, None where there is none now."""
    for offer in sorted(folder.glob(f"*{OFFER}")):
        mine = offer.with_suffix(".taken")
        try:
            offer.rename(mine)
            path = json.loads(mine.read_text())["socket"]
            mine.unlink()
            connected = local_socket.connect(path, _ANSWERS)
        except OSError:
            continue  # another process was quicker, or the one behind the offer is gone
        connected.settimeout(None)
        line: Connection[Any, Any] = Connection(connected.detach())
        try:
            if line.poll(_ANSWERS):
                return OpenTrial(line, json.loads(line.recv_bytes()))
        except (OSError, EOFError):
            pass
        line.close()
    return None
