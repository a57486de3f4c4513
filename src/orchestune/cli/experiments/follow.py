"""Follow an experiment to its end; Ctrl-C detaches, a second one stops the experiment."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts
from orchestune.cli.terminal.progress import end_lines
from orchestune.cli.terminal.progress_views import PaintedView, PlainView, ProgressView, QuietView
from orchestune.cli.terminal.render import last_words, one_line
from orchestune.cli.terminal.silence import silent, waits
from orchestune.client.attempts import decisive
from orchestune.client.connection.stream import ServerSentEvent
from orchestune.client.states import OVER, handing_in, over
from orchestune.client.watching import ServerUnreachable, Watch
from orchestune.errors import NotFound, OrchestuneError, TemporaryError

if TYPE_CHECKING:
    from orchestune import documents

REFRESH = 0.2
"""seconds between two paints of the block"""
INTERRUPTED = 130
"""the exit code of a command that Ctrl-C ended, as shells have it"""
LATE = 5.0
"""seconds that are given to ends of trials which are told after the experiment's"""
SILENT = 10.0
"""seconds without news of the experiment after which that is told; an idle one is looked at every 7 s at most"""
SECOND_PRESS = 3.0
"""seconds in which a second Ctrl-C stops the experiment"""


def follow(console: Console, begin: Callable[[], documents.Status], *, quiet: bool = False) -> int:
    """Show progress of what `begin` gives until it is over or a guard paused it; the exit code of `run` and `wait`.

    Ctrl-C leaves the experiment running and gives 0; pressed twice it stops the experiment. With `quiet` (`wait`) it
    ends the waiting alone, and nobody is told that it came to its end.
    """
    with Interrupts() as pressed:
        status = begin()
        view = _view(console, quiet)
        try:
            last = _until_over(console, status, view, pressed)
        finally:
            view.close()
        if last is None and quiet:
            return INTERRUPTED
        stop = last is None and _detach(console, status["handle"], pressed)
    if stop:
        return _stop(console, status["handle"])
    return 0 if last is None else conclude(console, last, quiet=quiet)


def conclude(console: Console, status: documents.Status, *, quiet: bool = False) -> int:
    """Say how it ended; 0 where it completed, else 1."""
    if console.json:
        console.document(status)
    else:
        failure = _failure(console, status)
        console.say(*end_lines(status, console.paint, failure, next_steps=not quiet))
    return 0 if status["state"] == "completed" else 1


def _view(console: Console, quiet: bool) -> ProgressView:
    if quiet or console.json:
        return QuietView(console)
    return PaintedView(console) if console.live else PlainView(console)


def _until_over(
    console: Console, status: documents.Status, view: ProgressView, pressed: Interrupts
) -> documents.Status | None:
    """The last status; None after Ctrl-C."""
    watch = Watch(console.client, status["handle"], events=isinstance(view, PlainView)).start()
    away, painted, heard = "", 0.0, time.monotonic()
    console.on_silence = lambda text: None  # the view says so
    try:
        view.show(status, away)
        while not pressed.count:
            for update in _waiting(watch):
                if isinstance(update, OrchestuneError):
                    raise update
                if isinstance(update, ServerUnreachable):
                    away, heard = waits(update.error), time.monotonic()
                elif isinstance(update, ServerSentEvent):
                    _heard(view, update)
                else:
                    status, away, heard = update, "", time.monotonic()
            if time.monotonic() - heard > SILENT:
                away = silent(SILENT)
            if over(status):
                _late(watch, view, status)
                view.show(status, "", last=True)
                return status
            if time.monotonic() - painted >= REFRESH * 0.9:
                view.show(status, away)
                painted = time.monotonic()
        return None
    finally:
        watch.stop()
        console.on_silence = None


def _late(watch: Watch, view: ProgressView, status: documents.Status) -> None:
    """Hear of the last trials too: the status may be newer than the events."""
    until = time.monotonic() + LATE
    while view.behind(status) and time.monotonic() < until:
        for update in _waiting(watch):
            if isinstance(update, ServerSentEvent):
                _heard(view, update)


def _waiting(watch: Watch) -> list[documents.Status | ServerSentEvent | ServerUnreachable | OrchestuneError]:
    """Everything that came, after at most `REFRESH` seconds."""
    found = []
    try:
        found.append(watch.updates.get(timeout=REFRESH))
        while len(found) < 1000:
            found.append(watch.updates.get_nowait())
    except queue.Empty:
        pass
    return found


def _heard(view: ProgressView, event: ServerSentEvent) -> None:
    if event.kind == "trial_finished":
        data = event.json()["data"]
        view.finished(data["trial"], data["state"])


def _failure(console: Console, status: documents.Status) -> str:
    """The first failed trial with the end of its log: what most often explains the others."""
    if not status["counts"]["failed"]:
        return ""
    paint = console.paint
    try:
        first = next(iter(console.client.trials(status["id"], state="failed")), None)
        if first is None:
            return ""
        trial = console.client.trial(status["id"], first["number"])
    except (NotFound, TemporaryError):
        return ""
    reason = trial["reason"]["message"] if trial["reason"] else "failed"
    lines = [f"{paint('31', 'fail')}  trial {trial['number']}: {one_line(reason)}"]
    attempt = decisive(trial)
    tail = (attempt.get("tail") or "") if attempt else ""
    lines += [f"      {paint.dim(paint.sign('│'))} {line}" for line in last_words(tail, 5)]
    return "\n".join(lines)


def _detach(console: Console, handle: str, pressed: Interrupts) -> bool:
    """Say how to go on; True where Ctrl-C came again in time."""
    until = time.monotonic() + SECOND_PRESS
    paint = console.paint
    _aside(
        console,
        "",
        f"{paint.bold(handle)} goes on without this window. Ctrl-C again within {SECOND_PRESS:g} s stops it.",
        f"      orchestune status {handle} --watch  {paint.dim('follow it again')}",
        f"      orchestune logs {handle} --follow   {paint.dim('follow what it prints')}",
        f"      orchestune stop {handle}            {paint.dim('end it')}",
    )
    while pressed.count < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return pressed.count >= 2


def _stop(console: Console, handle: str) -> int:
    """Stop, and wait until nothing of it runs; another Ctrl-C leaves the rest to the server."""
    _aside(console, "", f"Stopping {handle}; running trials get their grace period.")
    text = f"{handle} goes on: the server has not answered. `orchestune stop {handle}` tries again."
    try:
        status = console.client.stop(handle)
        text, told = f"{handle} is stopping.", False
        while status["state"] not in OVER:
            if handing_in(status) and not told:
                told = True
                _aside(console, "Files of trials that completed are on their way; Ctrl-C leaves that to the server.")
            time.sleep(0.2)
            status = console.client.experiment(handle)
    except KeyboardInterrupt:
        _aside(console, text)
        return 1
    conclude(console, status)
    return 1


def _aside(console: Console, *lines: str) -> None:
    """What is no part of the result."""
    if console.json:
        console.note("\n".join(lines))
    else:
        console.say(*lines)
