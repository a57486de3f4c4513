"""Expands the placeholders of `run` to the command line of one configuration.

`{args}` is every parameter as `--name=value`, `{hydra}` every one as `name=value`, `{name}` one value; `{{` and `}}`
are literal braces, and `${name}` is left to the shell. A list is executed directly after the substitution. A string
without shell syntax is split and executed directly, so that an image needs no shell; any other string is run by `sh -c`
with each value quoted for its context.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from orchestune.worker import quoting

ALL_PARAMETERS = ("args", "hydra")
"""placeholders for all parameters at once"""
_TOKEN = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z0-9_.\-/]+)\}")
_SHELL = re.compile(r"[|&;<>()$`\\*?\[\]#~!\n{}]|^\s*[A-Za-z_]\w*=")
_PLAIN = re.compile(r"(?:[A-Za-z_/][\w./:%@+-]*(?: [\w./:%@+-]+)*)?", re.ASCII)
"""texts that Hydra parses as strings without quotes"""
_NESTED = re.compile(r"[\[{][\w./:+, \-\[\]{}]*[\]}]", re.ASCII)
_INNERMOST = re.compile(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}")
_BUILTIN_NAMES = """
. : alias bg break case cd command continue eval exec exit export fg for function hash if jobs local read readonly
return select set shift source time times trap type ulimit umask unalias unset until wait while
"""
_BUILTINS = frozenset(_BUILTIN_NAMES.split())


def placeholders(run: str | Sequence[str]) -> list[str]:
    """Return the distinct placeholder names in order of appearance, including `args` and `hydra`."""
    texts = [run] if isinstance(run, str) else run
    return list(dict.fromkeys(name for text in texts for name in _named(text)))


@lru_cache(maxsize=256)  # the same few texts for every trial
def _named(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(match.group(1) for match in _TOKEN.finditer(text) if match.group(1)))


def length(run: str | Sequence[str], parameters: Mapping[str, Any], names: Sequence[str], config: str = "") -> int:
    """Return how many characters `render` substitutes and copies, without quotes and without building the command.

    A short text with many placeholders, each for a long value, may be rendered to gigabytes.
    """
    of_each = {"config": len(config)} | {name: len(plain(value)) for name, value in parameters.items()}
    of_all = sum(len(name) + of_each.get(name, 0) + 3 for name in names)
    sizes = dict.fromkeys(ALL_PARAMETERS, of_all)
    return sum(
        len(text) + sum(sizes.get(name) or of_each.get(name, 0) for name in _TOKEN.findall(text))
        for text in ([run] if isinstance(run, str) else run)
    )


def render(
    run: str | Sequence[str], parameters: Mapping[str, Any], names: Sequence[str], config: str = ""
) -> list[str]:
    """Return the command line for one configuration.

    `names` are all parameters in order; those missing from `parameters` are inactive: left out of `{args}` and
    `{hydra}`, an empty string as `{name}`. `config` replaces `{config}` unless a parameter has that name.
    Raises ValueError if a placeholder matches no parameter.
    """
    if config:
        parameters = {"config": config, **parameters}
    unknown = [name for name in placeholders(run) if name not in names and name not in ALL_PARAMETERS]
    if unknown == ["config"] and config:
        unknown = []
    if unknown:
        expected = f"{', '.join(names)}, {{args}} or {{hydra}}"
        raise ValueError(f"unknown placeholder: {{{unknown[0]}}} (expected {expected})")
    if not isinstance(run, str):
        return _expand_words(run, parameters, names)
    words = split(run)
    if words is not None:
        return _expand_words(words, parameters, names)
    return ["sh", "-c", _expand_in_shell(run, parameters, names)]


def plain(value: Any) -> str:
    """Format a value as text: booleans in lower case, floats with full precision."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def variable(parameter: str) -> str:
    """Return the environment variable of a parameter: `optim.lr` → `ORCHESTUNE_PARAM_OPTIM_LR`."""
    return "ORCHESTUNE_PARAM_" + re.sub(r"[^A-Z0-9]", "_", parameter.upper())


def arguments(parameters: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the words of `{args}`: `--name` for true, nothing for false and inactive parameters."""
    words = []
    for name in names:
        value = parameters.get(name)
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words.append(f"--{name}={plain(value)}")
    return words


def overrides(parameters: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return the words of `{hydra}`."""
    return [f"{name}={_of_hydra(parameters[name])}" for name in names if parameters.get(name) is not None]


def _of_hydra(value: Any) -> str:
    """Format a value in the grammar of Hydra's overrides; texts that are lists or mappings are not quoted."""
    text = plain(value)
    if not isinstance(value, str) or _list_or_mapping(text):
        return text
    if _PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null", "nan", "inf"):
        return text
    inner = re.sub(r"(\\*)'", r"\1\1\'", text)
    trailing = len(inner) - len(inner.rstrip("\\"))
    return f"'{inner}" + "\\" * trailing + "'"


def _list_or_mapping(text: str) -> bool:
    """Return True if the whole text is enclosed in one pair of brackets or braces."""
    previous, remaining = "", text if _NESTED.fullmatch(text) else ""
    while remaining != previous:
        previous, remaining = remaining, _INNERMOST.sub("x", remaining)
    return remaining == "x"


def _words_of_all(name: str, parameters: Mapping[str, Any], names: Sequence[str]) -> list[str] | None:
    if name == "args":
        return arguments(parameters, names)
    return overrides(parameters, names) if name == "hydra" else None


def _text_of(name: str, parameters: Mapping[str, Any]) -> str:
    value = parameters.get(name)
    return "" if value is None else plain(value)


def _substitute(text: str, text_of: Callable[[re.Match[str], str], str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group(0)[0] if name is None else text_of(match, name)

    return _TOKEN.sub(replacement, text)


def _expand_words(words: Sequence[str], parameters: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    def replacement(match: re.Match[str], name: str) -> str:
        words_of_all = _words_of_all(name, parameters, names)
        return _text_of(name, parameters) if words_of_all is None else _join(words_of_all)

    arguments: list[str] = []
    for word in words:
        whole = _TOKEN.fullmatch(word)
        words_of_all = _words_of_all(whole.group(1), parameters, names) if whole and whole.group(1) else None
        if words_of_all is None:
            arguments.append(_substitute(word, replacement))
        else:
            arguments += words_of_all
    return arguments


@lru_cache(maxsize=16)
def split(run: str) -> tuple[str, ...] | None:
    """Split a command without shell syntax into words; None if it needs a shell."""
    if _SHELL.search(_TOKEN.sub(lambda match: "x" if match.group(1) else match.group(0), run)):
        return None
    try:
        words = shlex.split(run)
    except ValueError:
        return None
    return tuple(words) if words and words[0] not in _BUILTINS else None


def _join(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)


def misplaced(run: str) -> dict[str, str]:
    """Return the placeholders of a shell command that cannot be quoted in their context, with the reason."""
    problems = {} if split(run) is not None else dict.fromkeys(placeholders(run), "")
    if problems:
        text, names = _marked(run)
        for name, context in zip(names, quoting.read(text).contexts):
            problems[name] = problems[name] or context.problem
    return {name: problem for name, problem in problems.items() if problem}


def _marked(run: str) -> tuple[str, list[str]]:
    """Return the command with a MARK for each placeholder, and the placeholders' names."""
    names: list[str] = []

    def replacement(match: re.Match[str], name: str) -> str:
        names.append(name)
        return quoting.MARK

    return _substitute(run, replacement), names


def _expand_in_shell(run: str, parameters: Mapping[str, Any], names: Sequence[str]) -> str:
    text, names_in_order = _marked(run)
    parsed = quoting.read(text)
    values = []
    for name, context in zip(names_in_order, parsed.contexts):
        if context.problem:
            raise ValueError(f"{{{name}}} is {context.problem}")
        words_of_all = _words_of_all(name, parameters, names)
        if words_of_all is None:
            value = _text_of(name, parameters)
            values.append(quoting.quote_words([value], context, value))
        else:
            values.append(quoting.quote_words(words_of_all, context, _join(words_of_all)))
    return parsed.filled(values)
