"""Options of docopt, from the text that says how a script is used."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from orchestune.config.document.scalars import resolve
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.scope import ModuleScope, calls, keywords

_USAGE = re.compile(r"(?ims)^[^\n]*usage:(.*?)(?:\n[ \t]*\n|\Z)")
_DESCRIBED = re.compile(r"(?m)^[ \t]*(-\S.*(?:\n(?![ \t]*-)[ \t]+\S.*)*)")
"""`-b N, --batch=N  how many at a time [default: 64]`, with the lines on which that goes on"""
_DEFAULT = re.compile(r"(?i)\[default: (.*?)\]")
_FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)([= ](?:<[^>\n]+>|[A-Z][A-Z0-9_-]*\b))?")
_OPTIONAL = re.compile(r"\[[^\[\]]*\]")
_RIVALS = re.compile(r"([\[(])([^\[\]()]*\|[^\[\]()]*)[\])]")
_ITSELF = ("help", "version", "h")


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """None where `docopt` is not called, or of a text that is not known."""
    for call in calls(tree):
        if scope.named(call.func) != "docopt.docopt":
            continue
        given = call.args[0] if call.args else keywords(call).get("doc")
        own = given is None or (isinstance(given, ast.Name) and given.id == "__doc__")
        text = ast.get_docstring(tree) if own else scope.or_none(given)
        if isinstance(text, str):
            return _of_text(text)
    return None


def _of_text(text: str) -> Script:
    usage = _USAGE.search(text)
    said = usage[1] if usage else ""
    options: dict[str, Option] = {}
    called: dict[str, str] = {}
    """the option for each of its spellings"""
    for flags, option in map(_described, _DESCRIBED.findall(text.replace(said, ""))):
        options[option.name] = option
        called |= dict.fromkeys(flags, option.name)
    for flag, takes in _FLAG.findall(said):
        if flag not in called:
            name = called[flag] = flag.lstrip("-")
            options[name] = _option(name, flag, bool(takes))
    named = {called[flag] for flag, _ in _FLAG.findall(said)}
    rest = [name for name in options if name not in named]  # what `[options]` stands for
    commands: dict[str, tuple[Option, ...]] = {}
    for pattern in _patterns(said):
        words, needed = _needed(pattern)
        if needed and not words and all(called.get(word) in _ITSELF for word in needed):
            continue
        taken = dict.fromkeys(called[flag] for flag, _ in _FLAG.findall(pattern))
        taken |= dict.fromkeys(rest) if "[options]" in pattern else {}
        rivals = dict(_rivals(pattern, called))
        found = [
            replace(
                options[name],
                required=name in {called.get(word) for word in needed} and options[name].kind != "bool",
                rivals=rivals.get(name, ""),
            )
            for name in taken
            if name not in _ITSELF
        ]
        places = [Option(name, "text", required=True, word=f"{{{name}}}") for name in map(_place, needed) if name]
        commands.setdefault(" ".join(words), (*found, *places))
    own = commands.pop("", ())
    return Script("docopt", () if commands else own, commands=commands)


def _described(text: str) -> tuple[list[str], Option]:
    """How it is spelled, and the option."""
    spelled, _, about = text.partition("  ")
    words = [word for word in re.split(r"[\s,=]+", spelled.strip()) if word]
    flags = [word for word in words if word.startswith("-")]
    flag = next((word for word in flags if word.startswith("--")), flags[0])
    found = _option(flag.lstrip("-"), flag, len(words) > len(flags))
    about = " ".join(_DEFAULT.sub("", about).split()).removesuffix(" .")
    default = _DEFAULT.search(text) if found.kind != "bool" else None
    if default is None:
        return flags, replace(found, about=about)
    value = resolve(default[1])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return flags, replace(found, kind="int" if isinstance(value, int) else "float", default=value, about=about)
    return flags, replace(found, kind="text", default=default[1], about=about)


def _option(name: str, flag: str, takes: bool) -> Option:
    word = "" if flag.startswith("--") else f"{flag} {{{name}}}"
    return Option(name, "other", word=word) if takes else Option(name, "bool", False, word=word)


def _patterns(usage: str) -> list[str]:
    """The ways to call it, without the name of the program, with which each begins."""
    program = next(iter(usage.split()), "")
    return [part.strip() for part in re.split(rf"(?:^|\s){re.escape(program)}(?=\s|$)", usage)[1:]] if program else []


def _needed(pattern: str) -> tuple[list[str], list[str]]:
    """The commands, and what else cannot be left out; of alternatives the first."""
    before = ""
    while before != pattern:
        before, pattern = pattern, _OPTIONAL.sub(" ", pattern)
    found = re.sub(r"\|\s*[^\s|)]+|[()]|\.\.\.", " ", _FLAG.sub(r"\1", pattern)).split()
    words = [word for word in found if re.fullmatch(r"[a-z][\w-]*", word)]
    return words, [word for word in found if word not in words]


def _rivals(pattern: str, called: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Of flags that exclude each other, the group of each."""
    for group in _RIVALS.finditer(pattern):
        needed = group[1] == "(" and not pattern[: group.start()].rstrip().endswith("[")
        for flag, _ in _FLAG.findall(group[2]):
            yield called[flag], f"{'!' if needed else ''}{group.start()}"


def _place(word: str) -> str:
    """The name of an argument without a flag: `<data>`, `DATA`; empty for anything else."""
    return word.strip("<>") if re.fullmatch(r"<[\w.-]+>|[A-Z][A-Z0-9_-]*", word) else ""
