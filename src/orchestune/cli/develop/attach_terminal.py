"""Connect this terminal to the terminal of a trial on another machine."""

from __future__ import annotations

import base64
import os
import select
import shutil
import signal
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.client.api import Client
from orchestune.errors import OrchestuneError, Unreachable

if TYPE_CHECKING:
    from orchestune import documents

_LONG_POLL_SECONDS = 10.0
_BLOCK_BYTES = 1 << 15
_NOTICE_SECONDS = 2.0
"""seconds without an answer after which a notice is printed"""
_MAX_UNREACHABLE_SECONDS = 600.0
"""seconds without an answer after which the command gives up"""
_RETRY_SECONDS = 0.2
_CTRL_C = b"\x03"


def is_terminal(console: Console) -> bool:
    """Return True if input and output are a terminal, so that keys are forwarded one by one."""
    return console.out.isatty() and os.isatty(0)


def terminal_size() -> list[int]:
    """Return rows and columns."""
    columns, rows = shutil.get_terminal_size()
    return [rows, columns]


class AttachedTerminal:
    """Connects this terminal with that of an attempt."""

    def __init__(self, console: Console, experiment: str, attempt: str) -> None:
        self._console, self._experiment, self._attempt = console, experiment, attempt
        self._code: int | None = None
        self._error: OrchestuneError | None = None
        self._unreachable_since: float | None = None
        self._wake, self._woken = os.pipe()

    def pass_on(self, ended: Callable[[Client], int | None]) -> int:
        """Forward input and output until the remote command has ended; return its exit code.

        `ended` returns the exit code if the remote side can no longer report it. Raises the server's errors that cannot
        be retried.
        """
        reader = threading.Thread(target=self._forward_output, args=(ended,), daemon=True)
        with _raw_mode() if is_terminal(self._console) else nullcontext(), self._forward_resizes():
            reader.start()
            with ExitStack() as on_error:
                on_error.callback(self._hang_up)
                self._forward_input()
                reader.join()
                on_error.pop_all()
        if self._error is not None:
            raise self._error
        return 1 if self._code is None else self._code

    def _hang_up(self) -> None:
        """End the remote command: an interactive shell ignores SIGTERM, but not the hang-up that follows this."""
        with suppress(OrchestuneError):
            self._console.client.terminal(self._experiment, self._attempt, over=0)

    def _forward_output(self, ended: Callable[[Client], int | None]) -> None:
        client, offset = self._console.client.clone(retry_seconds=_NOTICE_SECONDS), 0
        try:
            while self._error is None:
                previous_offset, answer = offset, self._call(client, after=offset, wait=_LONG_POLL_SECONDS)
                if answer is None:
                    continue
                data, offset = base64.b64decode(answer["data"]), answer["next"]
                while data:
                    data = data[os.write(1, data) :]
                self._code = answer["over"]
                if self._code is None and answer["next"] == previous_offset:
                    with suppress(Unreachable):
                        self._code = ended(client)  # no output during a long poll
                if self._code is not None:
                    return
        except OrchestuneError as exc:
            self._error = exc
        except OSError:  # the reader of our output has exited
            self._code = 1
        finally:
            client.close()
            os.write(self._woken, b"x")

    def _forward_input(self) -> None:
        """Forward the input, and its end, until the remote command has ended."""
        client, offset, is_input_open = self._console.client.clone(retry_seconds=_NOTICE_SECONDS), 0, True
        try:
            while True:
                ready = select.select([self._wake, *([0] if is_input_open else [])], [], [])[0]
                if self._wake in ready:
                    if os.read(self._wake, 1) == b"x":
                        return
                    if self._call(client, size=terminal_size()) is None:
                        os.write(self._woken, b"s")
                if 0 not in ready:
                    continue
                data = os.read(0, _BLOCK_BYTES)
                is_input_open = bool(data)
                while not data and not self._is_over() and self._call(client, over=0) is None:
                    pass
                while data and not self._is_over():  # a command may end without reading all input
                    answer = self._call(
                        client, data=base64.b64encode(data).decode(), at=offset, wait=_LONG_POLL_SECONDS
                    )
                    if answer is not None:
                        data, offset = data[answer["next"] - offset :], answer["next"]
                    elif is_terminal(self._console):
                        data += os.read(0, _BLOCK_BYTES) if select.select([0], [], [], 0)[0] else b""
                        if _CTRL_C in data:
                            raise Unreachable(
                                "detached while the server was unreachable",
                                "the remote command is terminated once the server is back",
                            )
        except OrchestuneError as exc:
            self._error = self._error or exc
        finally:
            client.close()

    def _is_over(self) -> bool:
        return self._code is not None or self._error is not None

    def _call(self, client: Client, **body: Any) -> documents.TerminalAnswer | None:
        """Return the server's answer; None while it is unreachable. Raises Unreachable if that lasts too long."""
        try:
            answer = client.terminal(self._experiment, self._attempt, **body)
        except Unreachable:
            now = time.monotonic()
            if self._unreachable_since is None:
                self._unreachable_since = now
                if is_terminal(self._console):
                    self._console.note("\r\nthe server is unreachable; input is buffered, Ctrl-C detaches\r")
                else:
                    self._console.note("the server is unreachable; waiting for it")
            if now - self._unreachable_since > _MAX_UNREACHABLE_SECONDS:
                raise
            time.sleep(_RETRY_SECONDS)  # some errors are immediate
            return None
        self._unreachable_since = None
        return answer

    @contextmanager
    def _forward_resizes(self) -> Iterator[None]:
        """Forward changes of the window's size."""

        def on_resize(number: int, frame: FrameType | None) -> None:
            os.write(self._woken, b"s")

        previous = signal.signal(signal.SIGWINCH, on_resize)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, previous)


@contextmanager
def _raw_mode() -> Iterator[None]:
    """Pass each key on unchanged, including Ctrl-C."""
    previous = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, previous)
