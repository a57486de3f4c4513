"""Files that commands write: completely or not at all."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOBase
from pathlib import Path
from typing import TextIO, cast

from orchestune.cli.terminal.render import displayed
from orchestune.errors import UsageError
from orchestune.system.private import open_for_writing


class _Terminal(TextIOBase):
    """A terminal without the control sequences that names and values from other users may contain."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the stub has an attribute, the class a property
        return self._terminal.encoding

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._terminal.write(displayed(text))
        return len(text)


@contextmanager
def output_file(path: Path | None, folder_hint: str) -> Iterator[TextIO]:
    """Open standard output (None), or a file that is written completely or not at all.

    A terminal gets no control sequences other than colours.
    Pipes, devices and links are written to, not replaced. Raises UsageError if the file cannot be written; for a
    folder with `folder_hint`.
    """
    if path is None:
        yield cast(TextIO, _Terminal(sys.stdout)) if sys.stdout.isatty() else sys.stdout
        return
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder (expected a file)", folder_hint)
    # Truncated, as `path.name` may have the maximum length; random, as other users may write to the folder.
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            with open_for_writing(path) as file:
                yield file
            return
        with part.open("x", newline="", encoding="utf-8") as file:
            yield file
        part.replace(path)
    except OSError as exc:
        raise UsageError(f"cannot write '{path}': {exc.strerror}") from exc
    finally:
        with suppress(OSError):  # also fails in a read-only folder
            part.unlink()
