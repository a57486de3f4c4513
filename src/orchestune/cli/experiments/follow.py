"""Follow an experiment until it has ended. Ctrl-C detaches; a second one stops the experiment."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestune.cli.experiments.course import course_lines
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts
from orchestune.cli.terminal.progress import end_lines
from orchestune.cli.terminal.progress_views import PaintedView, PlainView, ProgressView, QuietView
from orchestune.cli.terminal.render import failure_tail, one_line
from orchestune.cli.terminal.silence import retry_message, silence_message
from orchestune.client.attempts import decisive
from orchestune.client.connection.stream import ServerSentEvent
from orchestune.client.local.work_folders import written_files
from orchestune.client.states import FINAL_STATES, is_uploading, over
from orchestune.client.watching import ServerUnreachable, Watch
from orchestune.errors import NotFound, OrchestuneError, TemporaryError
from orchestune.worker.files.unkept import WrittenFile

if TYPE_CHECKING:
    from orchestune import documents

REFRESH_SECONDS = 0.2
"""seconds between two repaints of the block"""
INTERRUPTED = 130
"""exit code of a command interrupted by Ctrl-C, as in shells"""
LATE_EVENT_SECONDS = 5.0
"""seconds to wait for trial events that arrive after the end of the experiment"""
SILENCE_SECONDS = 10.0
"""seconds without a status after which the server counts as unresponsive; an idle experiment is polled every 7 s at
most
"""
SECOND_PRESS_SECONDS = 3.0
"""seconds within which a second Ctrl-C stops the experiment"""


def follow(console: Console, begin: Callable[[], documents.Status], *, quiet: bool = False) -> int:
    """Show the progress of the experiment that `begin` creates, until it has ended or a guard paused it.

    Returns the exit code of `run` and `wait`. Ctrl-C detaches and returns 0; pressed twice it stops the experiment.
    With `quiet` (`wait`) it only ends the waiting, and the next steps are not printed.
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
    """Print how the experiment ended; returns 0 if it completed, else 1."""
    if console.json:
        console.document(status)
    else:
        failure, written = _failure(console, status), _written(console, status)
        course = [] if quiet else course_lines(console, status)
        console.say(*end_lines(status, console.paint, failure, course, written=written, next_steps=not quiet))
    return 0 if status["state"] == "completed" else 1


def _view(console: Console, quiet: bool) -> ProgressView:
    if quiet or console.json:
        return QuietView(console)
    return PaintedView(console) if console.live else PlainView(console)


def _until_over(
    console: Console, status: documents.Status, view: ProgressView, pressed: Interrupts
) -> documents.Status | None:
    """Show progress until the experiment has ended; return its last status, or None after Ctrl-C."""
    watch = Watch(console.client, status["handle"], events=isinstance(view, PlainView)).start()
    unreachable, last_paint, last_update = "", 0.0, time.monotonic()
    console.on_silence = lambda text: None  # the view shows it
    try:
        view.show(status, unreachable)
        while not pressed.count:
            for update in _pending_updates(watch):
                if isinstance(update, OrchestuneError):
                    raise update
                if isinstance(update, ServerUnreachable):
                    unreachable, last_update = retry_message(update.error), time.monotonic()
                elif isinstance(update, ServerSentEvent):
                    _handle_event(view, update)
                else:
                    status, unreachable, last_update = update, "", time.monotonic()
            if time.monotonic() - last_update > SILENCE_SECONDS:
                unreachable = silence_message(SILENCE_SECONDS)
            if over(status):
                _drain_events(watch, view, status)
                view.show(status, "", last=True)
                return status
            if time.monotonic() - last_paint >= REFRESH_SECONDS * 0.9:
                view.show(status, unreachable)
                last_paint = time.monotonic()
        return None
    finally:
        watch.stop()
        console.on_silence = None


def _drain_events(watch: Watch, view: ProgressView, status: documents.Status) -> None:
    """Deliver events of the last trials, which may arrive after the status that counts them."""
    deadline = time.monotonic() + LATE_EVENT_SECONDS
    while view.behind(status) and time.monotonic() < deadline:
        for update in _pending_updates(watch):
            if isinstance(update, ServerSentEvent):
                _handle_event(view, update)


def _pending_updates(watch: Watch) -> list[documents.Status | ServerSentEvent | ServerUnreachable | OrchestuneError]:
    """Return the queued updates, after at most `REFRESH_SECONDS`."""
    updates = []
    try:
        updates.append(watch.updates.get(timeout=REFRESH_SECONDS))
        while len(updates) < 1000:
            updates.append(watch.updates.get_nowait())
    except queue.Empty:
        pass
    return updates


def _handle_event(view: ProgressView, event: ServerSentEvent) -> None:
    if event.kind == "trial_finished":
        data = event.json()["data"]
        view.finished(data["trial"], data["state"])


def _failure(console: Console, status: documents.Status) -> str:
    """Describe the first failed trial with the end of its log, which usually explains the other failures."""
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
    lines += [f"      {paint.dim(paint.sign('│'))} {line}" for line in failure_tail(tail, 5)]
    return "\n".join(lines)


def _written(console: Console, status: documents.Status) -> list[WrittenFile]:
    """Return the files that the best trial wrote and `keep` does not name, if they are still on this machine."""
    if not status["best"] or not console.place.embedded:
        return []
    try:
        trial = console.client.trial(status["id"], status["best"][0]["trial"])
    except (NotFound, TemporaryError):
        return []
    files = written_files(console.environ, [attempt["id"] for attempt in reversed(trial["attempts"])])
    return [WrittenFile(path, size) for path, size in files.items()]


def _detach(console: Console, handle: str, pressed: Interrupts) -> bool:
    """Print how to follow again; return True if Ctrl-C was pressed a second time."""
    deadline = time.monotonic() + SECOND_PRESS_SECONDS
    paint = console.paint
    _aside(
        console,
        "",
        f"{paint.bold(handle)} keeps running. Press Ctrl-C again within {SECOND_PRESS_SECONDS:g} s to stop it.",
        f"      orchestune status {handle} --watch  {paint.dim('follow it again')}",
        f"      orchestune logs {handle} --follow   {paint.dim('follow its output')}",
        f"      orchestune stop {handle}            {paint.dim('stop it')}",
    )
    while pressed.count < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return pressed.count >= 2


def _stop(console: Console, handle: str) -> int:
    """Stop, and wait until no trial runs; another Ctrl-C stops waiting only."""
    _aside(console, "", f"Stopping {handle}; running trials get their grace period.")
    message = f"{handle} keeps running: the server has not answered. Retry with `orchestune stop {handle}`."
    try:
        status = console.client.stop(handle)
        message, is_upload_announced = f"{handle} is stopping.", False
        while status["state"] not in FINAL_STATES:
            if is_uploading(status) and not is_upload_announced:
                is_upload_announced = True
                _aside(console, "Still uploading files of completed trials; Ctrl-C stops waiting for them.")
            time.sleep(0.2)
            status = console.client.experiment(handle)
    except KeyboardInterrupt:
        _aside(console, message)
        return 1
    conclude(console, status)
    return 1


def _aside(console: Console, *lines: str) -> None:
    """Print lines that are not part of the result."""
    if console.json:
        console.note("\n".join(lines))
    else:
        console.say(*lines)
