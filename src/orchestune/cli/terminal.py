"""This terminal, as the near end of a trial's terminal elsewhere."""

from __future__ import annotations

import base64
import os
import select
import shutil
import signal
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType
from typing import Any

from orchestune.cli.console import Console
from orchestune.client.api import Client
from orchestune.errors import OrchestuneError

_WAIT = 10.0
_BLOCK = 1 << 15


def is_terminal(console: Console) -> bool:
    """Whether somebody sits here, so that keys are passed on one by one."""
    return console.out.isatty() and os.isatty(0)


def size() -> list[int]:
    """Rows and columns."""
    columns, rows = shutil.get_terminal_size()
    return [rows, columns]


class Terminal:
    """Between this terminal and the one of an attempt."""

    def __init__(self, console: Console, experiment: str, attempt: str) -> None:
        self._console, self._experiment, self._attempt = console, experiment, attempt
        self._code: int | None = None
        self._trouble: OrchestuneError | None = None
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
        client, shown = self._console.client.clone(), 0
        try:
            while True:
                before, answer = shown, self._call(client, after=shown, wait=_WAIT)
                data, shown = base64.b64decode(answer["data"]), answer["next"]
                while data:
                    data = data[os.write(1, data) :]
                self._code = answer["over"]
                if self._code is None and answer["next"] == before:
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
        client, typed, open_ = self._console.client.clone(), 0, True
        try:
            while True:
                ready = select.select([self._wake, *([0] if open_ else [])], [], [])[0]
                if self._wake in ready:
                    if os.read(self._wake, 1) == b"x":
                        return
                    self._call(client, size=size())
                    continue
                data = os.read(0, _BLOCK)
                if not data:
                    open_ = False
                    self._call(client, over=0)
                while data and self._code is None and self._trouble is None:  # a command may end without reading it all
                    answer = self._call(client, data=base64.b64encode(data).decode(), at=typed, wait=_WAIT)
                    data, typed = data[answer["next"] - typed :], answer["next"]
        except OrchestuneError as exc:
            self._trouble = self._trouble or exc
        finally:
            client.close()

    def _call(self, client: Client, **body: Any) -> Any:
        return client.terminal(self._experiment, self._attempt, **body)

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
