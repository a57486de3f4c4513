"""Options of programs in other languages, by the usual form of their declarations; variables of make."""

from __future__ import annotations

import re
from typing import Any

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts import shell_variables
from orchestune.config.scripts.option import Option, Script

_FLAG = re.compile(r"""["'`]--([A-Za-z][\w.\-]*)(?:[ =<\[][^"'`\n]*)?["'`]""")
_DEFAULT = re.compile(r"""\bdefault(?:_value|Value)?\s*(?:=>|[=:(])\s*(["'`]?)([^"'`\s,)}]+)\1""")
_STRING = re.compile(r'"[^"\n]*"')
"""a string with a space is no default, but may contain one: `help = "rate (default: 0.1)"`"""
_DEFAULT_WINDOW = 300
"""characters after an option within which its default is searched"""
_MAKE_VARIABLE = re.compile(
    r"^(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*[?:]{0,3}=[ \t]*([^$#\n]*?)["
    r" \t]*(?:#.*)?$",
    re.MULTILINE,
)
"""`LR ?= 0.01`, except values that refer to other variables"""
_TARGET = re.compile(r"^([A-Za-z0-9][\w.\-]*)[^:=\n]*:(?!:{0,2}=)", re.MULTILINE)
_LITERAL = re.compile(r"([-+]?[0-9][0-9_]*(?:\.[0-9_]*)?)(?:([eEf][-+]?[0-9]+)|[LlFfDd])?")
"""a number of R (`3L`), of Julia (`1f-3`, `1_000`), and of the relatives of C (`0.5f`)"""


def read(text: str, suffix: str) -> Script | None:
    """Return options written as words followed by their defaults; None if there are none."""
    if suffix in shell_variables.SUFFIXES:
        return shell_variables.read(text)
    by_name: dict[str, Option] = {}
    flags = list(_FLAG.finditer(text))
    for index, match in enumerate(flags):
        end = flags[index + 1].start() if index + 1 < len(flags) else len(text)
        window = text[match.end() : min(end, match.end() + _DEFAULT_WINDOW)]
        default = _DEFAULT.search(_STRING.sub(lambda string: "" if " " in string[0] else string[0], window))
        if default is not None:
            value = resolve(default[2]) if default[1] else _number(default[2])
            by_name.setdefault(match[1], shell_variables.option(match[1], value))
    return Script("its text", tuple(by_name.values())) if by_name else None


def _number(text: str) -> Any:
    """Parse an unquoted word."""
    literal = _LITERAL.fullmatch(text)
    return resolve(literal[1].replace("_", "") + (literal[2] or "").replace("f", "e")) if literal else resolve(text)


def makefile(text: str) -> Script:
    """Return the variables of a Makefile, which the command line can set (`make train LR=0.1`).

    Its targets are commands.
    """
    by_name: dict[str, Option] = {}
    for name, value in _MAKE_VARIABLE.findall(text):
        by_name.setdefault(name, shell_variables.option(name, resolve(value)))
    return Script(
        "variables",
        tuple(by_name.values()),
        argument_template="{hydra}",
        commands=dict.fromkeys(_TARGET.findall(text), ()),
    )
