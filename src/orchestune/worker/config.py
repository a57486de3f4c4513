"""A private copy of the user's configuration file with the values of one trial in it.

The file arrives in parts, cut where values stand: reading YAML takes more than the standard library, so whoever created
the experiment found the places, and layout and comments stay as they are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.worker.removal import clear


def fill(parts: Sequence[Any], parameters: Mapping[str, Any]) -> bytes:
    """The file: texts as they are, `[parameter, text]` as that parameter's value, or the text where it is inactive."""
    found = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
        else:
            name, default = part
            value = parameters.get(name)
            found.append(str(default) if value is None else spell(value))
    return "".join(found).encode("utf-8")


def spell(value: Any) -> str:
    """A value as JSON, TOML, YAML 1.1 and YAML 1.2 read it alike: for 1.1 a number with an exponent has a point too."""
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return mantissa + (".0" if exponent and "." not in mantissa else "") + exponent + power
    return json.dumps(value, ensure_ascii=False)


def write(folder: str, name: str, parts: Sequence[Any], parameters: Mapping[str, Any]) -> str:
    """Write the copy into `folder` under the file's own name; its path. OSError where the disk refuses."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = os.path.join(folder, os.path.basename(name))
    clear(path)  # a command may have made it a link
    with open(path, "xb") as file:
        file.write(fill(parts, parameters))
    return path
