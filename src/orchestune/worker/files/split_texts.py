"""Texts that arrive in parts, split at the values of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def join(parts: Sequence[Any], parameters: Mapping[str, Any], spell: Callable[[Any, str], str]) -> str:
    """Join the parts: texts unchanged, `[parameter, text]` as the parameter's value, or as the text if inactive.

    `spell` formats a value, given the text that it replaces.
    """
    pieces = []
    for part in parts:
        if isinstance(part, str):
            pieces.append(part)
        else:
            name, text = part
            value = parameters.get(name)
            pieces.append(str(text) if value is None else spell(value, str(text)))
    return "".join(pieces)


def length(parts: Sequence[Any], parameters: Mapping[str, Any]) -> int:
    """Return the characters of the joined parts before their values are formatted, without joining them."""
    return sum(len(part) if isinstance(part, str) else len(str(parameters.get(part[0], part[1]))) for part in parts)
