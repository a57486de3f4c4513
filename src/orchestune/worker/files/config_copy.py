"""Writes a private copy of the user's configuration file with the values of one trial.

The copy also replaces the file in the trial's folder, for scripts that open it by its own name.

The file arrives in parts, split at the values: parsing YAML needs more than the standard library, so the client that
created the experiment located them. Layout and comments are preserved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.worker.files.own_file import own_path
from orchestune.worker.files.removal import clear
from orchestune.worker.files.split_texts import join


def fill(parts: Sequence[Any], parameters: Mapping[str, Any]) -> bytes:
    """Return the content of the file for one trial."""
    return join(parts, parameters, lambda value, _: spell(value)).encode("utf-8")


def spell(value: Any) -> str:
    """Serialize a value so that JSON, TOML and YAML parse it alike: YAML 1.1 needs a point in numbers with exponent."""
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power
    return json.dumps(value, ensure_ascii=False)


def write(folder: str, name: str, parts: Sequence[Any], parameters: Mapping[str, Any]) -> str:
    """Write the copy into `folder` under the file's own name. Return its path. Raises OSError."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, os.path.basename(name))
    _write(path, fill(parts, parameters))
    return path


def replace(folder: str, path: str, copy: str) -> None:
    """Replace the file at `path` in the trial's `folder` by the `copy`, unless it is a link or absent.

    Raises OSError.
    """
    place = own_path(folder, path)
    if os.path.isfile(place):
        with open(copy, "rb") as file:
            _write(place, file.read())


def _write(path: str, content: bytes) -> None:
    clear(path)  # a command may have replaced it by a link
    with open(path, "xb") as file:
        file.write(content)
