"""Stable placeholders for everything in a text that differs from run to run or from machine to machine."""

from __future__ import annotations

import platform
import re
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestune import __version__

REPOSITORY = Path(__file__).parents[2]
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_SIGNATURE = re.compile(r"\b[0-9a-f]{40}\b")
_TIME = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?")
_EPOCH = re.compile(r"\b1[67]\d{8}(?:\.\d+)?\b")
_PORT = re.compile(r"\b(127\.0\.0\.1|localhost):\d+")
# what `orchestune.cli.render.duration` prints, with the spaces that align it in a table
_DURATION = re.compile(r"(?<![\w.-]) *\b(?:\d+(?:\.\d+)?s|\d+m \d\ds|\d+h \d\dm|\d+d \d+h)(?![\w.]) *")
_SPACES = re.compile(r"(?<=\S) {2,}(?=\S)")


class Placeholders:
    """Replace the same value by the same placeholder, numbered by first appearance within one text.

    `names`: values that the caller knows, such as handles and folders, with their placeholders.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        machine = {
            str(REPOSITORY): "<repository>",
            tempfile.gettempdir() + "/": "<tmp>/",
            __version__: "<version>",
            platform.python_version(): "<python>",
            socket.gethostname(): "<host>",
        }
        known = {**machine, **(names or {})}
        # the longest first: a path before the folder that it lies in
        values = sorted(filter(None, known), key=len, reverse=True)
        self._names = [(_whole(value), known[value].replace("\\", r"\\")) for value in values]

    def of(self, text: str) -> str:
        """Return `text` with placeholders."""
        for pattern, placeholder in self._names:
            text = pattern.sub(placeholder, text)
        text = _UUID.sub(_numbered("id"), text)
        text = _DIGEST.sub(_numbered("digest"), text)
        text = _SIGNATURE.sub("<signature>", text)
        text = _TIME.sub("<time>", text)
        text = _EPOCH.sub("<time>", text)
        return _PORT.sub(r"\1:<port>", text)


def without_durations(text: str) -> str:
    """Return `text` with `<duration>` for each printed duration, and with single gaps between the columns of tables.

    How wide a column is follows from the values in it, so that spaces would tell them.
    """
    lines = [_DURATION.sub(_duration, line).rstrip() for line in text.split("\n")]
    return "\n".join(lines)


def _duration(match: re.Match[str]) -> str:
    text = match[0]
    before, after = text[0] == " ", text[-1] == " "
    return f"{' ' * before}<duration>{' ' * after}"


def collapsed(text: str) -> str:
    """Return `text` with gaps of two spaces wherever there are more within a line."""
    return "\n".join(_SPACES.sub("  ", line) for line in text.split("\n"))


def _whole(value: str) -> re.Pattern[str]:
    """Match a value that is not a part of a longer word."""
    end = r"(?!\w)" if value[-1].isalnum() else ""
    return re.compile(rf"(?<!\w){re.escape(value)}{end}")


def _numbered(kind: str) -> Callable[[re.Match[str]], str]:
    numbers: dict[str, int] = {}
    return lambda match: f"<{kind} {numbers.setdefault(match[0], len(numbers) + 1)}>"
