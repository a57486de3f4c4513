"""Variables of shell scripts: those that the environment may set, and those that take the script's arguments."""

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
"""`${LR:-0.01}`, wherever it stands"""
_DECLARES = r"(?:(?:export|local|readonly|declare|typeset)\s+(?:-\w+\s+)*)?"
_ASSIGNED = re.compile(rf"(?m)(?:^|[;&|]|(?<!\$)[({{])\s*{_DECLARES}([A-Za-z_]\w*)=(.*)")
_GIVEN = re.compile(
    rf"(?m)^{_DECLARES}([A-Za-z_]\w*)=[\"']?\$(?:([1-9])|\{{([1-9])(?::?[-=]{_DEFAULT})?\}})[\"']?\s*;?$"
)
"""`LR=${1:-0.01}`, but not in a function, whose arguments are its own"""
_TAKES_APART = re.compile(r"\b(?:shift|getopts)\b")


def read(text: str) -> Script | None:
    """None where it has none."""
    text = _COMMENT.sub(r"\1", text.replace("\r\n", "\n"))
    return _by_place(text) or _by_name(text)


def option(name: str, default: Any) -> Option:
    """A variable with what stands there as its default."""
    kind: Kind = "other" if isinstance(default, bool) else KINDS.get(type(default), "other")
    return Option(name, kind, plain(default))


def _by_name(text: str) -> Script | None:
    """Those with a default for where the environment sets none, and that the script does not set itself."""
    own = {name for name, value in _ASSIGNED.findall(text) if f"${{{name}" not in value}
    found: dict[str, Option] = {}
    for name, default in _EXPANDED.findall(text):
        if name not in own and not OF_THE_MACHINE.fullmatch(name):
            found.setdefault(name, option(name, resolve(default)))
    return Script("variables", tuple(found.values()), way="") if found else None


def _by_place(text: str) -> Script | None:
    """Those that take the first arguments; up to the last that is varied all have to be said."""
    places = {int(bare or braced): (name, default) for name, bare, braced, default in _GIVEN.findall(text)}
    if _TAKES_APART.search(text):
        return None
    options, words = list[Option](), list[str]()
    varied = 0
    for place in range(1, 10):
        if place not in places:
            break
        name, default = places[place]
        if not default:
            if words:  # what only the user knows stands before all others
                break
            options.append(Option(name, "other", required=True, word=f"{{{name}}}"))
            continue
        found = option(name, resolve(default))
        vary = propose(found).vary
        words.append(f"{{{name}}}" if vary else shlex.quote(default))
        varied = len(words) if vary else varied
        if vary:
            options.append(found)
    if not varied:
        return None
    others = [option.name for option in named.options] if (named := _by_name(text)) else []
    example = f"{others[0]}={{{others[0]}}} before the command varies it too" if others else ""
    notes = (f"{', '.join(others)}: set by the environment, and left as it is; {example}",) if others else ()
    return Script("arguments", tuple(options), way=" ".join(words[:varied]), notes=notes)
