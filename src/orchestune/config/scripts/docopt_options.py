"""Options of docopt, from its usage text."""

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
"""`-b N, --batch=N  how many at a time [default: 64]`, with its continuation lines"""
_DEFAULT = re.compile(r"(?i)\[default: (.*?)\]")
_FLAG = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)([= ](?:<[^>\n]+>|[A-Z][A-Z0-9_-]*\b))?")
_OPTIONAL = re.compile(r"\[[^\[\]]*\]")
_RIVALS = re.compile(r"([\[(])([^\[\]()]*\|[^\[\]()]*)[\])]")
_BUILTIN_FLAGS = ("help", "version", "h")


def read(tree: ast.Module, scope: ModuleScope) -> Script | None:
    """Return the options, or None if `docopt` is not called or its text is not a constant."""
    for call in calls(tree):
        if scope.named(call.func) != "docopt.docopt":
            continue
        doc = call.args[0] if call.args else keywords(call).get("doc")
        is_module_doc = doc is None or (isinstance(doc, ast.Name) and doc.id == "__doc__")
        text = ast.get_docstring(tree) if is_module_doc else scope.or_none(doc)
        if isinstance(text, str):
            return _of_text(text)
    return None


def _of_text(text: str) -> Script:
    usage = _USAGE.search(text)
    usage_text = usage[1] if usage else ""
    options: dict[str, Option] = {}
    option_by_flag: dict[str, str] = {}
    """option name by flag"""
    for flags, option in map(_described, _DESCRIBED.findall(text.replace(usage_text, ""))):
        options[option.name] = option
        option_by_flag |= dict.fromkeys(flags, option.name)
    for flag, takes in _FLAG.findall(usage_text):
        if flag not in option_by_flag:
            name = option_by_flag[flag] = flag.lstrip("-")
            options[name] = _option(name, flag, bool(takes))
    mentioned = {option_by_flag[flag] for flag, _ in _FLAG.findall(usage_text)}
    unmentioned = [name for name in options if name not in mentioned]  # the expansion of `[options]`
    commands: dict[str, tuple[Option, ...]] = {}
    for pattern in _patterns(usage_text):
        words, required_words = _required_words(pattern)
        if required_words and not words and all(option_by_flag.get(word) in _BUILTIN_FLAGS for word in required_words):
            continue
        used = dict.fromkeys(option_by_flag[flag] for flag, _ in _FLAG.findall(pattern))
        used |= dict.fromkeys(unmentioned) if "[options]" in pattern else {}
        rivals = dict(_rivals(pattern, option_by_flag))
        flagged = [
            replace(
                options[name],
                required=name in {option_by_flag.get(word) for word in required_words} and options[name].kind != "bool",
                rivals=rivals.get(name, ""),
            )
            for name in used
            if name not in _BUILTIN_FLAGS
        ]
        positionals = [
            Option(name, "text", required=True, argument_template=f"{{{name}}}")
            for name in map(_place, required_words)
            if name
        ]
        commands.setdefault(" ".join(words), (*flagged, *positionals))
    top_level = commands.pop("", ())
    return Script("docopt", () if commands else top_level, commands=commands)


def _described(text: str) -> tuple[list[str], Option]:
    """Parse one option description: its flags, and the option."""
    spelling, _, about = text.partition("  ")
    words = [word for word in re.split(r"[\s,=]+", spelling.strip()) if word]
    flags = [word for word in words if word.startswith("-")]
    flag = next((word for word in flags if word.startswith("--")), flags[0])
    option = _option(flag.lstrip("-"), flag, len(words) > len(flags))
    about = " ".join(_DEFAULT.sub("", about).split()).removesuffix(" .")
    default = _DEFAULT.search(text) if option.kind != "bool" else None
    if default is None:
        return flags, replace(option, about=about)
    value = resolve(default[1])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return flags, replace(option, kind="int" if isinstance(value, int) else "float", default=value, about=about)
    return flags, replace(option, kind="text", default=default[1], about=about)


def _option(name: str, flag: str, takes: bool) -> Option:
    argument_template = "" if flag.startswith("--") else f"{flag} {{{name}}}"
    return (
        Option(name, "other", argument_template=argument_template)
        if takes
        else Option(name, "bool", False, argument_template=argument_template)
    )


def _patterns(usage: str) -> list[str]:
    """Return the usage patterns without the program name, with which each starts."""
    program = next(iter(usage.split()), "")
    return [part.strip() for part in re.split(rf"(?:^|\s){re.escape(program)}(?=\s|$)", usage)[1:]] if program else []


def _required_words(pattern: str) -> tuple[list[str], list[str]]:
    """Return the commands and the other required words; of alternatives, the first."""
    previous = ""
    while previous != pattern:
        previous, pattern = pattern, _OPTIONAL.sub(" ", pattern)
    required = re.sub(r"\|\s*[^\s|)]+|[()]|\.\.\.", " ", _FLAG.sub(r"\1", pattern)).split()
    words = [word for word in required if re.fullmatch(r"[a-z][\w-]*", word)]
    return words, [word for word in required if word not in words]


def _rivals(pattern: str, option_by_flag: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each flag of a mutually exclusive group with the id of the group."""
    for group in _RIVALS.finditer(pattern):
        is_required = group[1] == "(" and not pattern[: group.start()].rstrip().endswith("[")
        for flag, _ in _FLAG.findall(group[2]):
            yield option_by_flag[flag], f"{'!' if is_required else ''}{group.start()}"


def _place(word: str) -> str:
    """Return the name of a positional argument: `<data>`, `DATA`; empty for anything else."""
    return word.strip("<>") if re.fullmatch(r"<[\w.-]+>|[A-Z][A-Z0-9_-]*", word) else ""
