"""Options of programs in other languages, by the usual look of their declarations; variables of shell scripts."""

from __future__ import annotations

import re
from typing import Any

from orchestune.config.scalars import resolve
from orchestune.config.scripts.option import Kind, Option, Script

_FLAG = re.compile(r"""["'`]--([A-Za-z][\w.\-]*)(?:[ =<\[][^"'`\n]*)?["'`]""")
_DEFAULT = re.compile(r"""\bdefault(?:_value|Value)?\s*(?:=>|[=:(])\s*(["'`]?)([^"'`\s,)}]+)\1""")
_NEAR = 300
"""characters in which the default of an option stands"""
_VARIABLE = re.compile(r"""^\s*(?:export\s+)?([A-Za-z_]\w*)=["']?\$\{\1:-([^}"']*)\}["']?\s*(?:#.*)?$""", re.MULTILINE)
_ASSIGNED = re.compile(r"""^\s*:\s+["']?\$\{([A-Za-z_]\w*):?=([^}"']*)\}["']?\s*(?:#.*)?$""", re.MULTILINE)
"""`: "${LR:=0.01}"`"""
_KINDS: dict[type, Kind] = {bool: "other", int: "int", float: "float", str: "text"}


def read(text: str, suffix: str) -> Script | None:
    """Options that stand as words with their defaults behind; None where there are none."""
    if suffix in (".sh", ".bash", ".zsh", ".ksh", ""):
        return _variables(text)
    found: dict[str, Option] = {}
    flags = list(_FLAG.finditer(text))
    for index, match in enumerate(flags):
        end = flags[index + 1].start() if index + 1 < len(flags) else len(text)
        default = _DEFAULT.search(text, match.end(), min(end, match.end() + _NEAR))
        if default is not None:
            found.setdefault(match[1], _option(match[1], resolve(default[2])))
    return Script("its text", tuple(found.values())) if found else None


def _variables(text: str) -> Script | None:
    """`LR=${LR:-0.01}`: what the environment may set."""
    found = sorted([*_VARIABLE.finditer(text), *_ASSIGNED.finditer(text)], key=lambda match: match.start())
    options = tuple(_option(match[1], resolve(match[2])) for match in found)
    return Script("variables", options, way="") if options else None


def _option(name: str, default: Any) -> Option:
    kind = _KINDS.get(type(default), "other")
    return Option(name, kind, default if isinstance(default, (int, float, str)) else None)
