"""Options of programs in other languages, by the usual look of their declarations; variables of make."""

from __future__ import annotations

import re
from typing import Any

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts import by_shell
from orchestune.config.scripts.option import Option, Script

_FLAG = re.compile(r"""["'`]--([A-Za-z][\w.\-]*)(?:[ =<\[][^"'`\n]*)?["'`]""")
_DEFAULT = re.compile(r"""\bdefault(?:_value|Value)?\s*(?:=>|[=:(])\s*(["'`]?)([^"'`\s,)}]+)\1""")
_STRING = re.compile(r'"[^"\n]*"')
"""one with a space in it is no default, but may tell of one: `help = "rate (default: 0.1)"`"""
_NEAR = 300
"""characters in which the default of an option stands"""
_MADE = re.compile(r"^(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[?:]{0,3}=[ \t]*([^$#\n]*?)[ \t]*(?:#.*)?$", re.MULTILINE)
"""`LR ?= 0.01`, without what is made of other variables"""
_TARGET = re.compile(r"^([A-Za-z0-9][\w.\-]*)[^:=\n]*:(?!:{0,2}=)", re.MULTILINE)
_LITERAL = re.compile(r"([-+]?[0-9][0-9_]*(?:\.[0-9_]*)?)(?:([eEf][-+]?[0-9]+)|[LlFfDd])?")
"""a number of R (`3L`), of Julia (`1f-3`, `1_000`), and of the relatives of C (`0.5f`)"""


def read(text: str, suffix: str) -> Script | None:
    """Options that stand as words with their defaults behind; None where there are none."""
    if suffix in by_shell.SUFFIXES:
        return by_shell.read(text)
    found: dict[str, Option] = {}
    flags = list(_FLAG.finditer(text))
    for index, match in enumerate(flags):
        end = flags[index + 1].start() if index + 1 < len(flags) else len(text)
        near = text[match.end() : min(end, match.end() + _NEAR)]
        default = _DEFAULT.search(_STRING.sub(lambda said: "" if " " in said[0] else said[0], near))
        if default is not None:
            value = resolve(default[2]) if default[1] else _number(default[2])
            found.setdefault(match[1], by_shell.option(match[1], value))
    return Script("its text", tuple(found.values())) if found else None


def _number(text: str) -> Any:
    """What an unquoted word is."""
    literal = _LITERAL.fullmatch(text)
    return resolve(literal[1].replace("_", "") + (literal[2] or "").replace("f", "e")) if literal else resolve(text)


def makefile(text: str) -> Script:
    """Variables of a Makefile, which the command line may set (`make train LR=0.1`); its targets are commands."""
    found: dict[str, Option] = {}
    for name, value in _MADE.findall(text):
        found.setdefault(name, by_shell.option(name, resolve(value)))
    return Script("variables", tuple(found.values()), way="{hydra}", commands=dict.fromkeys(_TARGET.findall(text), ()))
