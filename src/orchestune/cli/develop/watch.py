"""`watch`: `test` again on every save."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from orchestune.cli.develop.configuration import add_choices
from orchestune.cli.experiments.prepare import add_file_options, prepare
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.interrupts import Interrupts
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.render import one_line
from orchestune.cli.terminal.signals import deferred, orderly_end
from orchestune.domain.words import plural, some
from orchestune.errors import OrchestuneError

_BEYOND = 5.0
"""seconds beyond its grace in which a test that is no longer wanted ends"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "watch",
        watch,
        details="A test that still runs is ended first. Files that are not packed do not count. Ctrl-C ends it.",
        example="orchestune watch\norchestune watch -p alpha=0.01\norchestune watch --cluster docker",
        json=False,
    )
    add_file_options(parser)
    add_choices(parser)
    parser.set_defaults(once=True)


def watch(console: Console, args: argparse.Namespace) -> int:
    """Until Ctrl-C. What is wrong at first is wrong use; later it is told by the test, and waited for."""
    from orchestune.cli.develop.file_changes import FileChanges  # pathspec is slow to import, and only needed here

    prepared = prepare(args)
    saves = FileChanges(prepared.folder, prepared.ignore)
    patience = prepared.specification.grace + _BEYOND
    with Interrupts() as pressed, orderly_end(), _Test(args.line, patience) as test:
        test.start()
        while not pressed.count:
            if test.has_ended():
                console.say("", console.paint.dim(f"watching {plural(saves.count, 'file')}; Ctrl-C ends it"))
            if changed := saves.look():
                test.cancel()
                console.say("", console.paint.bold(f"{some([one_line(name) for name in changed], 3)} changed"), "")
                with suppress(OrchestuneError):  # the test tells of it
                    saves.ignore = prepare(args).ignore
                test.start()
            time.sleep(saves.pause)
        console.say("")
    return 0


class _Test:
    """The `test` that runs, if one does: a process of its own, which can be ended at any moment.

    Ctrl-C does not reach it from the terminal, but from here, as does the end of this process by SIGTERM or SIGHUP.
    """

    def __init__(self, line: Sequence[str], patience: float) -> None:
        self._command = [sys.executable, "-P", "-m", "orchestune", "test", *line]
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin anew. It hears SIGINT as soon as it can do what has to be done then."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with deferred():
                self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def has_ended(self) -> bool:
        """Whether it has just ended by itself; that is told once."""
        ended = self._process is not None and self._process.poll() is not None
        if ended:
            self._process = None
        return ended

    def cancel(self) -> None:
        """End it as Ctrl-C would; what it started ends with it."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(self._patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> _Test:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
