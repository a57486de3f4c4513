"""Variables of shell scripts: those set by the environment, and those set by arguments."""

from __future__ import annotations

import re
import shlex
from typing import Any

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.by_environment import OF_THE_MACHINE
from orchestune.config.scripts.option import KINDS, Kind, Option, Script, plain
from orchestune.config.scripts.proposing import propose

SUFFIXES = (".sh", ".bash", ".zsh", ".ksh", "")
_COMMENT = re.compile(r"(?m)(^|\s)#.*$")
_DEFAULT = r"[\"']?([^}\"'`$]*)[\"']?"
_EXPANDED = re.compile(r"\$\{([A-Za-z_]\w*):?[-=]" + _DEFAULT + r"\}")
"""`${LR:-0.01}`, anywhere in the text"""
_DECLARES = r"(?:(?:export|local|readonly|declare|typeset)\s+(?:-\w+\s+)*)?"
_ASSIGNED = re.compile(rf"(?m)(?:^|[;&|]|(?<!\$)[({{])\s*{_DECLARES}([A-Za-z_]\w*)=(.*)")
_POSITIONAL = re.compile(
    rf"(?m)^{_DECLARES}([A-Za-z_]\w*)=[\"']?\$(?:([1-9])|\{{([1-9])(?::?[-=]{_DEFAULT})?\}})[\"']?\s*;?$"
)
"""`LR=${1:-0.01}`, except in functions, which have their own arguments"""
_PARSES_ARGUMENTS = re.compile(r"\b(?:shift|getopts)\b")


def read(text: str) -> Script | None:
    """Return the variables, or None if there are none."""
    text = _COMMENT.sub(r"\1", text.replace("\r\n", "\n"))
    return _by_position(text) or _by_name(text)


def option(name: str, default: Any) -> Option:
    """Build the option of a variable with its default."""
    kind: Kind = "other" if isinstance(default, bool) else KINDS.get(type(default), "other")
    return Option(name, kind, plain(default))


def _by_name(text: str) -> Script | None:
    """Return the variables with a default for an unset environment that the script does not assign itself."""
    assigned = {name for name, value in _ASSIGNED.findall(text) if f"${{{name}" not in value}
    by_name: dict[str, Option] = {}
    for name, default in _EXPANDED.findall(text):
        if name not in assigned and not OF_THE_MACHINE.fullmatch(name):
            by_name.setdefault(name, option(name, resolve(default)))
    return Script("variables", tuple(by_name.values()), way="") if by_name else None


def _by_position(text: str) -> Script | None:
    """Return the variables assigned from positional arguments. All up to the last varied one have to be passed."""
    by_position = {int(bare or braced): (name, default) for name, bare, braced, default in _POSITIONAL.findall(text)}
    if _PARSES_ARGUMENTS.search(text):
        return None
    options, words = list[Option](), list[str]()
    varied_count = 0
    for position in range(1, 10):
        if position not in by_position:
            break
        name, default = by_position[position]
        if not default:
            if words:  # a required argument is only supported before all others
                break
            options.append(Option(name, "other", required=True, word=f"{{{name}}}"))
            continue
        candidate = option(name, resolve(default))
        vary = propose(candidate).vary
        words.append(f"{{{name}}}" if vary else shlex.quote(default))
        varied_count = len(words) if vary else varied_count
        if vary:
            options.append(candidate)
    if not varied_count:
        return None
    others = [option.name for option in script.options] if (script := _by_name(text)) else []
    example = f"{others[0]}={{{others[0]}}} before the command varies it" if others else ""
    notes = (f"{', '.join(others)}: set by the environment and not varied; {example}",) if others else ()
    return Script("arguments", tuple(options), way=" ".join(words[:varied_count]), notes=notes)
