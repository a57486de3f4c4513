"""`watch`: rerun `test` on every save."""

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
from orchestune.cli.terminal.signals import deferred_signals, exit_on_signals
from orchestune.domain.words import brief_list, plural
from orchestune.errors import OrchestuneError

_EXIT_MARGIN_SECONDS = 10.0
"""seconds beyond its grace period in which a cancelled test exits"""


def add(commands: Commands) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "watch",
        watch,
        details="Cancels a test that is still running. Ignores files that are not packed. Ctrl-C stops it."
        " (To follow an experiment: `status EXP --watch`.)",
        example="orchestune watch\norchestune watch -p alpha=0.01\norchestune watch --cluster docker",
        json=False,
    )
    add_file_options(parser)
    add_choices(parser)
    parser.set_defaults(once=True)


def watch(console: Console, args: argparse.Namespace) -> int:
    """Run `test` on every save until Ctrl-C. An invalid file raises at the start; later the test reports it."""
    from orchestune.cli.develop.file_changes import FileChanges  # pathspec is slow to import, and only needed here

    prepared = prepare(args)
    saves = FileChanges(prepared.project.root, prepared.project.ignore)
    exit_timeout = prepared.specification.grace + _EXIT_MARGIN_SECONDS
    with Interrupts() as pressed, exit_on_signals(), _Test(args.line, exit_timeout) as test:
        test.start()
        while not pressed.count:
            if test.has_ended():
                console.say("", console.paint.dim(f"watching {plural(saves.count, 'file')}; Ctrl-C stops it"))
            if changed := saves.look():
                test.cancel()
                console.say(
                    "", console.paint.bold(f"{brief_list([one_line(name) for name in changed], 3)} changed"), ""
                )
                with suppress(OrchestuneError):  # the test reports it
                    saves.ignore = prepare(args).project.ignore
                test.start()
            time.sleep(saves.pause)
        console.say("")
    return 0


class _Test:
    """The running `test`, if any: a separate process, which can be cancelled at any moment.

    The terminal does not send Ctrl-C to it, but this class does, also if this process is terminated by SIGTERM or
    SIGHUP.
    """

    def __init__(self, line: Sequence[str], exit_timeout: float) -> None:
        self._command = [sys.executable, "-P", "-m", "orchestune", "test", *line]
        self._exit_timeout = exit_timeout
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the test. It receives SIGINT only once it has installed its handler."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with deferred_signals():
                self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def has_ended(self) -> bool:
        """Return True once if the test has exited by itself."""
        has_exited = self._process is not None and self._process.poll() is not None
        if has_exited:
            self._process = None
        return has_exited

    def cancel(self) -> None:
        """Terminate the test like Ctrl-C, with its child processes."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(self._exit_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> _Test:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()
