"""Replaces constants of a script by the values of one trial, in the trial's private copy of the script.

The client that created the experiment located the constants, since parsing a script takes more than the standard
library of the worker's Python. Each line arrives in parts, split at the values. It is looked up by its number and its
text, so that a line that has moved in changed code is replaced, and one that has changed is an error.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.worker.files.own_file import own_path
from orchestune.worker.files.split_texts import join

_TO_PAST = 2**30
"""upper bound of the modification times in seconds: all are in the past, so that `make` does not complain"""


def lines(document: Mapping[str, Any] | None, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the lines of one trial by their position: `train.py:3`."""
    if document is None:
        return {}
    path = str(document["path"])
    return {f"{path}:{line['number']}": _filled(line["parts"], parameters, path).strip() for line in document["lines"]}


def substitute(folder: str, document: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Replace the lines of the script in `folder`, the trial's own. Raises OSError, and ValueError if a line is absent.

    A script that is reached through a link is not private, and is not changed: ValueError.
    """
    name = str(document["path"])
    path = own_path(folder, name)
    if not path:
        raise ValueError(f"cannot replace constants of '{name}': it is a link, not a file that is packed with the code")
    try:
        with open(path, "rb") as file:
            rows = file.read().decode("utf-8").split("\n")
    except (FileNotFoundError, UnicodeDecodeError) as exc:
        reason = "it is not UTF-8 text" if isinstance(exc, ValueError) else "no such file in the code of this trial"
        raise ValueError(f"cannot replace constants of '{name}': {reason}") from exc
    for line in document["lines"]:
        index = _index(rows, _filled(line["parts"], {}, name), int(line["number"]), name)
        end = "\r" if rows[index].endswith("\r") else ""
        rows[index] = _filled(line["parts"], parameters, name) + end
    _write(path, "\n".join(rows).encode("utf-8"))


def _index(rows: Sequence[str], text: str, number: int, name: str) -> int:
    """Return the index of the row with this text: at its line number, or else the only one."""
    indices = [index for index, row in enumerate(rows) if row.rstrip("\r") == text]
    if number - 1 in indices:
        return number - 1
    if len(indices) != 1:
        problem = "has several lines" if indices else "has no line"
        raise ValueError(f"{name} {problem} `{text.strip()}` (line {number} when the experiment was created)")
    return indices[0]


def _filled(parts: Sequence[Any], parameters: Mapping[str, Any], path: str) -> str:
    """Return a line of the script at `path` for one trial."""
    return join(parts, parameters, lambda value, literal: _spelled(value, literal, path))


def _spelled(value: Any, literal: str, path: str) -> str:
    """Format a value as a literal of the script's language, R or Python; R's integers keep their `L`."""
    if not path.lower().endswith(".r"):
        return repr(value)
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value) + ("L" if isinstance(value, int) and literal.endswith("L") else "")


def _write(path: str, data: bytes) -> None:
    """Replace a file, keeping its mode.

    Python compares only a module's size and the whole seconds of its modification time with those in its bytecode,
    which is kept for the next trial: the time is derived from the content.
    """
    part = f"{path}.{os.urandom(8).hex()}.part"
    with open(part, "xb") as file:
        file.write(data)
    shutil.copymode(path, part)
    seconds = zlib.crc32(data) % _TO_PAST
    os.utime(part, (seconds, seconds))
    os.replace(part, path)
