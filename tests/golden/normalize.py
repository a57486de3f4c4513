"""Stable placeholders for everything in a text that differs from run to run or from machine to machine."""

from __future__ import annotations

import math
import platform
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from orchestune import __version__

REPOSITORY = Path(__file__).parents[2]
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
_SIGNATURE = re.compile(r"\b[0-9a-f]{40}\b")
_TIME = re.compile(r"(?!2026-01-31T12:00:00Z)\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?")
_EPOCH = re.compile(r"\b1[67]\d{8}(?:\.\d+)?\b")
_PORT = re.compile(r"\b(127\.0\.0\.1|localhost):\d+")
# what `orchestune.cli.terminal.render.duration` prints
_DURATION = re.compile(r"(?<![\w.-])(?:\d+(?:\.\d+)?s|\d+m \d\ds|\d+h \d\dm|\d+d \d+h)(?![\w.])")
_LONG_FLOAT = re.compile(r"\b\d+\.\d{9,}\b")


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
        }
        placeholders = {**machine, **(names or {})}
        # the longest first: a path before its parent folder
        values = sorted(filter(None, placeholders), key=len, reverse=True)
        self._names = [(_whole(value), placeholders[value].replace("\\", r"\\")) for value in values]

    def of(self, text: str) -> str:
        """Return `text` with placeholders."""
        for pattern, placeholder in self._names:
            text = pattern.sub(placeholder, text)
        text = _LONG_FLOAT.sub(lambda match: f"{float(match[0]):.6g}", text)
        text = _UUID.sub(_numbered("id"), text)
        text = _DIGEST.sub(_numbered("digest"), text)
        text = _SIGNATURE.sub("<signature>", text)
        text = _TIME.sub("<time>", text)
        text = _EPOCH.sub("<time>", text)
        return _PORT.sub(r"\1:<port>", text)


def without_durations(text: str) -> str:
    """Return `text` with # for each digit of a printed duration, so that tables stay aligned.

    Errors and hints, which follow `---`, have durations that are the same each time.
    """
    out, mark, errors = text.partition("--- standard error\n")
    return _DURATION.sub(lambda match: re.sub(r"\d", "#", match[0]), out) + mark + errors


def rounded(value: Any, digits: int = 6) -> Any:
    """Return a document with plain types alone, with floats of so many significant digits and without durations."""
    if isinstance(value, Mapping):
        return {str(name): _without_duration(name, item) or rounded(item, digits) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else str(value)
    return int(value) if isinstance(value, int) else str(value)


def _without_duration(name: str, value: Any) -> str | None:
    """Return the placeholder of a duration that this process measured; None for anything else."""
    return "<duration>" if name in ("eta_seconds", "wall_seconds") and value is not None else None


def _whole(value: str) -> re.Pattern[str]:
    """Match a value that is not a part of a longer word."""
    end = r"(?!\w)" if value[-1].isalnum() else ""
    return re.compile(rf"(?<!\w){re.escape(value)}{end}")


def _numbered(kind: str) -> Callable[[re.Match[str]], str]:
    numbers: dict[str, int] = {}
    return lambda match: f"<{kind} {numbers.setdefault(match[0], len(numbers) + 1)}>"
