"""Drafts an experiment file from a script's options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestune.config.document.nodes import SourcePosition, mapping, yaml_text
from orchestune.config.scripts import config_files
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.proposing import Proposal, argument, guess, propose
from orchestune.config.scripts.reading import ScriptInvocation
from orchestune.config.sources.draft import Draft
from orchestune.domain.words import brief_list
from orchestune.errors import UsageError
from orchestune.worker.command import ALL_PARAMETERS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/]*")
_LIKELY = ("train", "fit", "run", "main", "tune")
_MAX_DESCRIPTION_CHARS = 60
_DEFAULT = re.compile(r"[\[(]?\s*default(?:s to)?\s*[:=]?\s*[^\s)\]]*\s*[\])]?", re.IGNORECASE)
"""the default as repeated in help texts"""


def with_command(invocation: ScriptInvocation, words: Sequence[str]) -> ScriptInvocation:
    """Select one of the script's commands: the one among `words`, otherwise the likeliest."""
    script = invocation.script
    if script is None or not script.commands:
        return invocation
    names = list(script.commands)
    text = f" {' '.join(words)} "
    command = next((name for name in sorted(names, key=len, reverse=True) if f" {name} " in text), None)
    notes = script.notes
    if command is None:
        command = next((name for word in _LIKELY for name in names if name.split()[-1] == word), names[0])
        if len(names) > 1:
            others = ", ".join(name for name in names if name != command)
            notes += (f"its command {command} is used; for another ({others}), end with -- and the whole command",)
    options = (*script.options, *script.commands[command])
    return replace(
        invocation, script=replace(script, options=options, words=tuple(command.split()), commands={}, notes=notes)
    )


def missing(invocation: ScriptInvocation) -> list[Option]:
    """Return the required options, whose values only the user knows."""
    script = invocation.script
    if script is None:
        return []
    return [option for option in script.options if option.required and not _varied(option, propose(option))]


def draft(invocation: ScriptInvocation, folder: Path, fixed_values: Mapping[str, str], *, named: bool = False) -> Draft:
    """Build the draft. `fixed_values` are the values of required options.

    With `named`, parameters are given elsewhere; otherwise, raises UsageError if nothing can be varied.
    """
    script = invocation.script or Script("", ())
    position = SourcePosition(invocation.command[-1])
    options = [option for option in script.options if _usable(option.name) and option.name not in fixed_values]
    proposals = {option.name: (option, propose(option)) for option in options}
    varied = {name: pair for name, pair in proposals.items() if _varied(*pair)}
    if (
        not varied
        and script.config is None
        and (path := config_files.chosen_path(script.options, folder, fixed_values))
    ):
        return draft(
            replace(invocation, script=config_files.by_path(script, path, folder)), folder, fixed_values, named=named
        )
    guessed = (
        {} if varied or named or not script.argument_template else {option.name: guess(option) for option in options}
    )
    varied |= {name: (proposals[name][0], guessed) for name, guessed in guessed.items() if guessed}
    varied, notes = _without_early_options(script, varied)
    selected = _with_common_placeholder(varied)
    if single := [name for name in varied if name not in selected]:
        note = "has no long name" if len(single) == 1 else "have no long names"
        notes.append(f"{', '.join(single)}: {note} for {{args}}; to vary them too, write a placeholder for each option")
    varied, conditions = _resolve_exclusive(selected, notes)
    own_placeholders = [option.argument_template for option, _ in varied.values() if option.argument_template]
    if unusable := [
        option.name for option in script.options if not _usable(option.name) and option.name not in fixed_values
    ]:
        notes.append(f"left out, since these are not valid parameter names: {', '.join(unusable)}")
    document: dict[str, Any] = {"run": _run(invocation, script, own_placeholders, fixed_values)}
    if script.config is not None:
        document["config"] = script.config
    if script.constants is not None:
        document["constants"] = script.constants
    spellings = {name: conditions.get(name, proposal.spelling) for name, (_, proposal) in varied.items()}
    if not varied and not named:
        raise _nothing_to_vary(invocation, proposals)
    document["parameters"] = spellings
    document |= {"budget": 40, "parallelism": 1}
    defaults = {option.name: option.default for option, _ in proposals.values() if option.default is not None}
    remarks = {f"parameters.{name}": _remark(option, name in guessed) for name, (option, _) in varied.items()}
    # options with their own placeholder cannot be enabled where one placeholder stands for all
    not_varied = [
        pair
        for name, pair in proposals.items()
        if name not in varied
        and (own_placeholders or not pair[0].argument_template)
        and not (script.constants and pair[0].required)
    ]
    asides = tuple(_aside(*pair) for pair in not_varied)
    return Draft(mapping(document, position), tuple(notes), remarks, defaults, asides)


def _usable(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in ALL_PARAMETERS


def _varied(option: Option, proposal: Proposal) -> bool:
    return proposal.vary and not (option.required and option.argument_template.startswith("{"))


_Pairs = dict[str, tuple[Option, Proposal]]


def _without_early_options(script: Script, varied: _Pairs) -> tuple[_Pairs, list[str]]:
    """Exclude options before the command name if others come after it: one placeholder stands at one position."""
    before_command = [name for name, (option, _) in varied.items() if option.early] if script.words else []
    if not before_command or len(before_command) == len(varied):
        return varied, [*script.notes]
    command = " ".join(script.words)
    example = " ".join(f"--{name}={{{name}}}" for name in before_command)
    note = (
        f"{', '.join(before_command)}: comes before {command} in the command and is not varied; to vary it"
        f" too, write a placeholder"
    )
    note += f" for each option: {example} {command} …"
    return {name: pair for name, pair in varied.items() if name not in before_command}, [*script.notes, note]


def _resolve_exclusive(varied: _Pairs, notes: list[str]) -> tuple[_Pairs, dict[str, dict[str, Any]]]:
    """Resolve mutually exclusive options; return the rest, and the conditions of the switches.

    A switch is varied only if those before it are off, and an option with a value only if no other is varied.
    """
    groups: dict[str, list[str]] = {}
    for name, (option, _) in varied.items():
        if option.rivals:
            groups.setdefault(option.rivals, []).append(name)
    excluded, spellings = set[str](), dict[str, dict[str, Any]]()
    for group, names in groups.items():
        switches = [name for name in names if varied[name][0].kind == "bool"]
        preferred = switches or names[:1]
        if others := [name for name in names if name not in preferred]:
            notes.append(f"{', '.join(others)}: excluded by {', '.join(preferred)}, so not varied")
        excluded.update(name for name in names if name not in preferred)
        for number, name in enumerate(switches[1:], 1):
            is_last = group.startswith("!") and number == len(names) - 1
            condition = dict.fromkeys(switches[:number], False)
            spellings[name] = {**({"values": [True]} if is_last else {"type": "bool"}), "when": condition}
    return {name: pair for name, pair in varied.items() if name not in excluded}, spellings


def _with_common_placeholder(varied: _Pairs) -> _Pairs:
    """Select the options that one placeholder can stand for.

    Those are the ones with long names, if there are any; otherwise all with values, each with its own placeholder.
    """
    long = {name: pair for name, pair in varied.items() if not pair[0].argument_template}
    return long or {name: pair for name, pair in varied.items() if pair[0].kind != "bool"}


def command(invocation: ScriptInvocation, fixed_values: Mapping[str, str]) -> str:
    """Return the whole command with these values, as for an experiment file with one placeholder for all options."""
    script = invocation.script or Script("", ())
    return _run(invocation, script, (), fixed_values).replace("'…'", "…")


def _run(
    invocation: ScriptInvocation, script: Script, own_placeholders: Sequence[str], fixed_values: Mapping[str, str]
) -> str:
    fixed_words: dict[bool, list[str]] = {True: [], False: []}
    for option in script.options:
        if option.name in fixed_values:
            value = _literal(fixed_values[option.name])
            pattern = option.argument_template or f"--{option.name}={{{option.name}}}"
            fixed_words[option.early].append(pattern.replace(f"{{{option.name}}}", value))
    varied = [option for option in script.options if _varied(option, propose(option))]
    is_before_command = bool(script.words) and bool(varied) and all(option.early for option in varied)
    placeholders = own_placeholders or ([script.argument_template] if script.argument_template else [])
    assignments = [f"{option.name}={{{option.name}}}" for option in script.options if _varied(option, propose(option))]
    program = [_literal(word) for word in invocation.command]
    words = [
        *(assignments if script.argument_template == "" and not (script.constants or script.config) else ()),
        *program,
        *fixed_words[True],
        *(placeholders if is_before_command else ()),
    ]
    return " ".join([*words, *script.words, *fixed_words[False], *(() if is_before_command else placeholders)])


def _literal(word: str) -> str:
    """Quote a literal word of the command."""
    return shlex.quote(word.replace("{", "{{").replace("}", "}}"))


def _nothing_to_vary(invocation: ScriptInvocation, proposals: _Pairs) -> UsageError:
    program = invocation.command[-1]
    spellings = {name: proposal.spelling for name, (_, proposal) in proposals.items() if proposal.spelling is not None}
    if spellings:
        name, spelling = next(iter(spellings.items()))
        what = f"no option of {program} looks like a hyperparameter: {brief_list(list(proposals))}"
        return UsageError(what, f"name the ones to vary: orchestune init {program} {argument(name, spelling)}")
    hint = f"name parameters and their places: orchestune init {program} lr=1e-4..0.1:log -- COMMAND --rate {{lr}}"
    return UsageError(f"{program}: no options, constants or settings found that can be varied", hint)


def _remark(option: Option, guessed: bool = False) -> str:
    about = " ".join(_DEFAULT.sub("", option.about.replace("%(default)s", "")).split())
    short = about if len(about) <= _MAX_DESCRIPTION_CHARS else f"{about[: _MAX_DESCRIPTION_CHARS - 1].rstrip()}…"
    default = "" if option.default in (None, "") else f"default {yaml_text(option.default)}"
    default = "a guess, since it has no default" if guessed else default
    return ": ".join(part for part in (default, short) if part)


def _aside(option: Option, proposal: Proposal) -> tuple[str, str]:
    spelling = proposal.spelling
    if spelling is None:
        spelling = "…" if option.default is None else [option.default]
    if isinstance(spelling, list):
        spelling = f"[{', '.join(yaml_text(item) if not isinstance(item, str) else repr(item) for item in spelling)}]"
    place = f"add {option.argument_template} to run" if option.argument_template else ""
    return f"{option.name}: {spelling}", "; ".join(part for part in (_remark(option), place) if part)
