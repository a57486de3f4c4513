"""Variables of shell scripts: those read from the environment, and those assigned from arguments or options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.environment_options import NOT_HYPERPARAMETERS
from orchestune.config.scripts.option import KINDS, Kind, Option, Script, plain
from orchestune.config.scripts.proposing import propose

SUFFIXES = (".sh", ".bash", ".zsh", ".ksh", "")
"""of the files read as shell scripts; "": no suffix"""
_COMMENT = re.compile(r"(?m)(^|\s)#.*$")
_DEFAULT = r"[\"']?([^}\"'`$]*)[\"']?"
_EXPANSION_WITH_DEFAULT = re.compile(r"\$\{([A-Za-z_]\w*):?[-=]" + _DEFAULT + r"\}")
"""`${LR:-0.01}`, anywhere in the text"""
_DECLARATION = r"(?:(?:export|local|readonly|declare|typeset)\s+(?:-\w+\s+)*)?"
_ASSIGNMENT = re.compile(rf"(?m)(?:^|[;&|]|(?<!\$)[({{])\s*{_DECLARATION}([A-Za-z_]\w*)=(.*)")
_POSITIONAL = re.compile(
    rf"(?m)^{_DECLARATION}([A-Za-z_]\w*)=[\"']?\$(?:([1-9])|\{{([1-9])(?::?[-=]{_DEFAULT})?\}})[\"']?\s*;?$"
)
"""`LR=${1:-0.01}`, only at the start of a line: indented lines may be in functions, which have their own arguments"""
_PARSES_ARGUMENTS = re.compile(r"\b(?:shift|getopts)\b")

_GETOPTS = re.compile(r"\bgetopts\s+[\"']?:?([A-Za-z0-9:]+)[\"']?\s+[A-Za-z_]\w*")
_OPTION_VALUE = re.compile(
    rf"(?:^|[\s;(|\"'])([A-Za-z0-9])[\"']?\s*\)\s*{_DECLARATION}([A-Za-z_]\w*)=[\"']?\$(?:OPTARG\b|\{{OPTARG\}})"
)
"""`l) lr=$OPTARG`"""
_LITERAL_ASSIGNMENT = re.compile(
    rf"(?:^|[\s;]){_DECLARATION}([A-Za-z_]\w*)=(?:\"([^\"`$]*)\"|'([^']*)'|([^\s\"'`$;]*))(?=[\s;]|$)"
)


def read(text: str) -> Script | None:
    """Return the variables, or None if there are none."""
    text = _COMMENT.sub(r"\1", text.replace("\r\n", "\n"))
    return _by_letter(text) or _by_position(text) or _by_name(text)


def option(name: str, default: Any) -> Option:
    """Build the option of a variable with its default."""
    kind: Kind = "other" if isinstance(default, bool) else KINDS.get(type(default), "other")
    return Option(name, kind, plain(default))


def _by_name(text: str) -> Script | None:
    """Return the environment variables that the script reads with a default and does not assign itself."""
    assigned = {name for name, value in _ASSIGNMENT.findall(text) if f"${{{name}" not in value}
    by_name: dict[str, Option] = {}
    for name, default in _EXPANSION_WITH_DEFAULT.findall(text):
        if name not in assigned and not NOT_HYPERPARAMETERS.fullmatch(name):
            by_name.setdefault(name, option(name, resolve(default)))
    return Script("variables", tuple(by_name.values()), argument_template="") if by_name else None


def _by_letter(text: str) -> Script | None:
    """Return the options that `getopts` parses with a value and that are assigned to a variable with a default."""
    call = _GETOPTS.search(text)
    if call is None:
        return None
    defaults = dict(_EXPANSION_WITH_DEFAULT.findall(text))
    defaults |= {name: "".join(values) for name, *values in _LITERAL_ASSIGNMENT.findall(text[: call.start()])}
    options: dict[str, Option] = {}
    for letter, name in _OPTION_VALUE.findall(text[call.end() :]):
        if f"{letter}:" in call[1] and defaults.get(name):
            template = f"-{letter} {{{name}}}"
            options.setdefault(name, replace(option(name, resolve(defaults[name])), argument_template=template))
    if not options:
        return None
    placeholders = " ".join(each.argument_template for each in options.values())
    notes = _environment_notes(text, options)
    return Script("getopts", tuple(options.values()), argument_template=placeholders, notes=notes)


def _environment_notes(text: str, options: Collection[str]) -> tuple[str, ...]:
    """Return a note on the variables that are read from the environment, beside the options of the command."""
    script = _by_name(text)
    names = [each.name for each in script.options if each.name not in options] if script else []
    if not names:
        return ()
    example = f"to vary it, write `{names[0]}={{{names[0]}}}` before the command"
    return (f"{', '.join(names)}: read from the environment and not varied; {example}",)


def _by_position(text: str) -> Script | None:
    """Return the variables assigned from positional arguments. All up to the last varied one must be passed."""
    if _PARSES_ARGUMENTS.search(text):
        return None
    by_position = {int(bare or braced): (name, default) for name, bare, braced, default in _POSITIONAL.findall(text)}
    options, words = list[Option](), list[str]()
    varied_count = 0
    for position in range(1, 10):
        if position not in by_position:
            break
        name, default = by_position[position]
        if not default:
            if words:  # a required argument is only supported before all others
                break
            options.append(Option(name, "other", required=True, argument_template=f"{{{name}}}"))
            continue
        candidate = option(name, resolve(default))
        proposed_range = propose(candidate)
        words.append(f"{{{name}}}" if proposed_range.vary else shlex.quote(default))
        if proposed_range.vary:
            varied_count = len(words)
            options.append(candidate)
    if not varied_count:
        return None
    notes = _environment_notes(text, ())
    return Script("arguments", tuple(options), argument_template=" ".join(words[:varied_count]), notes=notes)
