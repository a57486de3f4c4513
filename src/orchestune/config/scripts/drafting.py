"""From a script's options to an experiment file in the making."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.nodes import SourcePosition, mapping, written
from orchestune.config.scripts import by_config
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.proposing import Proposal, guess, propose
from orchestune.config.scripts.reading import ScriptInvocation
from orchestune.config.sources.draft import Draft
from orchestune.worker.command import KNOWN

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*")
_LIKELY = ("train", "fit", "run", "main", "tune")
_EXAMPLE = {"lr": "1e-5..0.1 log"}
_LONGEST = 60
_DEFAULT = re.compile(r"[\[(]?\s*default(?:s to)?\s*[:=]?\s*[^\s)\]]*\s*[\])]?", re.IGNORECASE)
"""what a help text says of the default, which stands there anyway"""


def with_command(found: ScriptInvocation, words: Sequence[str]) -> ScriptInvocation:
    """The same with one of the script's commands chosen: the one among `words`, else the likeliest."""
    script = found.script
    if script is None or not script.commands:
        return found
    names = list(script.commands)
    said = f" {' '.join(words)} "
    chosen = next((name for name in sorted(names, key=len, reverse=True) if f" {name} " in said), None)
    notes = script.notes
    if chosen is None:
        chosen = next((name for word in _LIKELY for name in names if name.split()[-1] == word), names[0])
        if len(names) > 1:
            others = ", ".join(name for name in names if name != chosen)
            notes += (f"its command {chosen} is taken; for another one ({others}) end with -- and the whole command",)
    options = (*script.options, *script.commands[chosen])
    return replace(
        found, script=replace(script, options=options, words=tuple(chosen.split()), commands={}, notes=notes)
    )


def missing(found: ScriptInvocation) -> list[Option]:
    """What has to be said that only the user knows."""
    script = found.script
    if script is None:
        return []
    return [option for option in script.options if option.required and not _varied(option, propose(option))]


def draft(found: ScriptInvocation, folder: Path, given: Mapping[str, str], *, named: bool = False) -> Draft:
    """The draft. `given` are the values of what is missing; `named`: parameters are said beside it, so that where the
    script tells of none there is no example of one.
    """
    script = found.script or Script("", ())
    place = SourcePosition(found.command[-1])
    options = [option for option in script.options if _usable(option.name) and option.name not in given]
    proposals = {option.name: (option, propose(option)) for option in options}
    varied = {name: pair for name, pair in proposals.items() if _varied(*pair)}
    if not varied and script.config is None and (path := by_config.chosen_path(script.options, folder, given)):
        return draft(replace(found, script=by_config.by_path(script, path, folder)), folder, given, named=named)
    guessed = {} if varied or named or not script.way else {option.name: guess(option) for option in options}
    varied |= {name: (proposals[name][0], guessed) for name, guessed in guessed.items() if guessed}
    varied, notes = _behind(script, varied)
    kept = _alike(varied)
    if single := [name for name in varied if name not in kept]:
        note = "has no long name" if len(single) == 1 else "have no long names"
        notes.append(f"{', '.join(single)}: {note}, which {{args}} takes; to vary it too write each option by itself")
    varied, conditions = _apart(kept, notes)
    placed = [option.word for option, _ in varied.values() if option.word]
    if unusable := [option.name for option in script.options if not _usable(option.name) and option.name not in given]:
        notes.append(f"left out, since no parameter can be called so: {', '.join(unusable)}")
    document: dict[str, Any] = {"run": _run(found, script, placed, given)}
    if script.config is not None:
        document["config"] = script.config
    spellings = {name: conditions.get(name, proposal.spelling) for name, (_, proposal) in varied.items()}
    example = not varied and not named
    document["parameters"] = dict(_EXAMPLE) if example else spellings
    if example:
        notes.append(_nothing(found, bool(proposals)))
    document |= {"budget": 40, "parallelism": 1}
    defaults = {option.name: option.default for option, _ in proposals.values() if option.default is not None}
    remarks = {f"parameters.{name}": _remark(option, name in guessed) for name, (option, _) in varied.items()}
    if example:
        remarks["parameters.lr"] = "an example: write the options of your program here"
    # what has a place of its own in the command cannot be taken in where one placeholder stands for all
    rest = [pair for name, pair in proposals.items() if name not in varied and (placed or not pair[0].word)]
    asides = tuple(_aside(*pair) for pair in rest)
    return Draft(mapping(document, place), tuple(notes), remarks, defaults, asides)


def _usable(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in KNOWN


def _varied(option: Option, proposal: Proposal) -> bool:
    return proposal.vary and not (option.required and option.word.startswith("{"))


_Pairs = dict[str, tuple[Option, Proposal]]


def _behind(script: Script, varied: _Pairs) -> tuple[_Pairs, list[str]]:
    """Where options of the script's command are varied, those that stand before its name are not: one placeholder for
    all stands in one place.
    """
    early = [name for name, (option, _) in varied.items() if option.early] if script.words else []
    if not early or len(early) == len(varied):
        return varied, [*script.notes]
    command = " ".join(script.words)
    example = " ".join(f"--{name}={{{name}}}" for name in early)
    note = f"{', '.join(early)}: stands before {command} in the command, and is not varied; to vary it too write each"
    note += f" option by itself: {example} {command} …"
    return {name: pair for name, pair in varied.items() if name not in early}, [*script.notes, note]


def _apart(varied: _Pairs, notes: list[str]) -> tuple[_Pairs, dict[str, dict[str, Any]]]:
    """Where the script takes one option of a group at most: a switch is varied where those before it are off, and
    what has a value only where it is alone. What remains, and how the switches are written.
    """
    groups: dict[str, list[str]] = {}
    for name, (option, _) in varied.items():
        if option.rivals:
            groups.setdefault(option.rivals, []).append(name)
    left, written_so = set[str](), dict[str, dict[str, Any]]()
    for group, names in groups.items():
        switches = [name for name in names if varied[name][0].kind == "bool"]
        kept = switches or names[:1]
        if others := [name for name in names if name not in kept]:
            notes.append(f"{', '.join(others)}: cannot stand beside {', '.join(kept)}, and is not varied")
        left.update(name for name in names if name not in kept)
        for number, name in enumerate(switches[1:], 1):
            last = group.startswith("!") and number == len(names) - 1
            condition = dict.fromkeys(switches[:number], False)
            written_so[name] = {**({"values": [True]} if last else {"type": "bool"}), "when": condition}
    return {name: pair for name, pair in varied.items() if name not in left}, written_so


def _alike(varied: _Pairs) -> _Pairs:
    """Where options have long names, those: one placeholder stands for all of them. Where none has, each stands by
    itself, with its value.
    """
    long = {name: pair for name, pair in varied.items() if not pair[0].word}
    return long or {name: pair for name, pair in varied.items() if pair[0].kind != "bool"}


def command(found: ScriptInvocation, given: Mapping[str, str]) -> str:
    """The whole command with these values, as somebody writes it who searches with one placeholder for the rest."""
    script = found.script or Script("", ())
    return _run(found, script, (), given).replace("'…'", "…")


def _run(found: ScriptInvocation, script: Script, placed: Sequence[str], given: Mapping[str, str]) -> str:
    fixed: dict[bool, list[str]] = {True: [], False: []}
    for option in script.options:
        if option.name in given:
            value = _fixed(given[option.name])
            pattern = option.word or f"--{option.name}={{{option.name}}}"
            fixed[option.early].append(pattern.replace(f"{{{option.name}}}", value))
    varied = [option for option in script.options if _varied(option, propose(option))]
    early = bool(script.words) and bool(varied) and all(option.early for option in varied)
    all_of_them = placed or ([script.way] if script.way else [])
    before = [f"{option.name}={{{option.name}}}" for option in script.options if _varied(option, propose(option))]
    own = [_fixed(word) for word in found.command]
    words = [*(before if script.way == "" else ()), *own, *fixed[True], *(all_of_them if early else ())]
    return " ".join([*words, *script.words, *fixed[False], *(() if early else all_of_them)])


def _fixed(word: str) -> str:
    """A word of the command that stands for itself."""
    return shlex.quote(word.replace("{", "{{").replace("}", "}}"))


def _nothing(found: ScriptInvocation, something: bool) -> str:
    if something:
        return "none of its options looks like one to search: take in what you want to vary"
    if found.script is None:
        return "nothing is known of its options: `parameters` holds an example"
    return "no option was found whose values are numbers, choices or switches: `parameters` holds an example"


def _remark(option: Option, guessed: bool = False) -> str:
    about = " ".join(_DEFAULT.sub("", option.about.replace("%(default)s", "")).split())
    short = about if len(about) <= _LONGEST else f"{about[: _LONGEST - 1].rstrip()}…"
    default = "" if option.default in (None, "") else f"default {written(option.default)}"
    default = "a guess, since it has no default" if guessed else default
    return ": ".join(part for part in (default, short) if part)


def _aside(option: Option, proposal: Proposal) -> tuple[str, str]:
    spelling = proposal.spelling
    if spelling is None:
        spelling = "…" if option.default is None else [option.default]
    if isinstance(spelling, list):
        spelling = f"[{', '.join(written(item) if not isinstance(item, str) else repr(item) for item in spelling)}]"
    return f"{option.name}: {spelling}", _remark(option)
