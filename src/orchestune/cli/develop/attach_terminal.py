"""This terminal, as the near end of a trial's terminal elsewhere."""

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
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from orchestune.cli.terminal.console import Console
from orchestune.client.api import Client
from orchestune.errors import OrchestuneError, Unreachable

if TYPE_CHECKING:
    from orchestune import documents

_WAIT = 10.0
_BLOCK = 1 << 15
_TRY = 2.0
"""seconds after which somebody is told that the server is away"""
_AWAY = 600.0
"""seconds for which it may be away"""
_PAUSE = 0.2
_CTRL_C = b"\x03"


def is_terminal(console: Console) -> bool:
    """Whether somebody sits here, so that keys are passed on one by one."""
    return console.out.isatty() and os.isatty(0)


def size() -> list[int]:
    """Rows and columns."""
    columns, rows = shutil.get_terminal_size()
    return [rows, columns]


class AttachedTerminal:
    """Between this terminal and the one of an attempt."""

    def __init__(self, console: Console, experiment: str, attempt: str) -> None:
        self._console, self._experiment, self._attempt = console, experiment, attempt
        self._code: int | None = None
        self._trouble: OrchestuneError | None = None
        self._away_since: float | None = None
        self._wake, self._woken = os.pipe()

    def pass_on(self, ended: Callable[[Client], int | None]) -> int:
        """Until the command there has ended; its exit code, which `ended` tells where the far end cannot any more.

        Raises what the server answers where it cannot be gone on with.
        """
        reader = threading.Thread(target=self._show, args=(ended,), daemon=True)
        with _raw() if is_terminal(self._console) else nullcontext(), self._resized():
            reader.start()
            self._type()
            reader.join()
        if self._trouble is not None:
            raise self._trouble
        return 1 if self._code is None else self._code

    def _show(self, ended: Callable[[Client], int | None]) -> None:
        client, shown = self._console.client.clone(patience=_TRY), 0
        try:
            while self._trouble is None:
                before, answer = shown, self._call(client, after=shown, wait=_WAIT)
                if answer is None:
                    continue
                data, shown = base64.b64decode(answer["data"]), answer["next"]
                while data:
                    data = data[os.write(1, data) :]
                self._code = answer["over"]
                if self._code is None and answer["next"] == before:
                    with suppress(Unreachable):
                        self._code = ended(client)  # it was silent for long
                if self._code is not None:
                    return
        except OrchestuneError as exc:
            self._trouble = exc
        except OSError:  # nobody reads our output any more
            self._code = 1
        finally:
            client.close()
            os.write(self._woken, b"x")

    def _type(self) -> None:
        """What is typed goes there, until the far end is over; the end of the input goes there too."""
        client, typed, open_ = self._console.client.clone(patience=_TRY), 0, True
        try:
            while True:
                ready = select.select([self._wake, *([0] if open_ else [])], [], [])[0]
                if self._wake in ready:
                    if os.read(self._wake, 1) == b"x":
                        return
                    if self._call(client, size=size()) is None:
                        os.write(self._woken, b"s")
                if 0 not in ready:
                    continue
                data = os.read(0, _BLOCK)
                open_ = bool(data)
                while not data and not self._over() and self._call(client, over=0) is None:
                    pass
                while data and not self._over():  # a command may end without reading it all
                    answer = self._call(client, data=base64.b64encode(data).decode(), at=typed, wait=_WAIT)
                    if answer is not None:
                        data, typed = data[answer["next"] - typed :], answer["next"]
                    elif is_terminal(self._console):
                        data += os.read(0, _BLOCK) if select.select([0], [], [], 0)[0] else b""
                        if _CTRL_C in data:
                            raise Unreachable("left while the server was away", "what runs there ends with its return")
        except OrchestuneError as exc:
            self._trouble = self._trouble or exc
        finally:
            client.close()

    def _over(self) -> bool:
        return self._code is not None or self._trouble is not None

    def _call(self, client: Client, **body: Any) -> documents.TerminalAnswer | None:
        """What the server answers; None while it is away. Unreachable where it is for too long."""
        try:
            answer = client.terminal(self._experiment, self._attempt, **body)
        except Unreachable:
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
                if is_terminal(self._console):
                    self._console.note("\r\nthe server is away; what you type waits for it, Ctrl-C leaves\r")
                else:
                    self._console.note("the server is away; this goes on when it is back")
            if now - self._away_since > _AWAY:
                raise
            time.sleep(_PAUSE)  # some errors come at once
            return None
        self._away_since = None
        return answer

    @contextmanager
    def _resized(self) -> Iterator[None]:
        """Tell the far end whenever the window gets another size."""

        def tell(number: int, frame: FrameType | None) -> None:
            os.write(self._woken, b"s")

        before = signal.signal(signal.SIGWINCH, tell)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)


@contextmanager
def _raw() -> Iterator[None]:
    """Each key is passed on as it is, Ctrl-C too."""
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
