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

KNOWN = ("args", "hydra")
"""placeholders for all parameters at once"""
_TOKEN = re.compile(r"\{\{|\}\}|(?<!\$)\{([A-Za-z0-9_.\-/]+)\}")
_SHELL = re.compile(r"[|&;<>()$`\\*?\[\]#~!\n{}]|^\s*[A-Za-z_]\w*=")
_PLAIN = re.compile(r"(?:[A-Za-z_/][\w./:%@+-]*(?: [\w./:%@+-]+)*)?", re.ASCII)
"""texts that Hydra parses as strings without quotes"""
_NESTED = re.compile(r"[\[{][\w./:+, \-\[\]{}]*[\]}]", re.ASCII)
_INNERMOST = re.compile(r"\[[^\[\]{}]*\]|\{[^\[\]{}]*\}")
_WORDS_OF_THE_SHELL = """
. : alias bg break case cd command continue eval exec exit export fg for function hash if jobs local read readonly
return select set shift source time times trap type ulimit umask unalias unset until wait while
"""
_BUILTINS = frozenset(_WORDS_OF_THE_SHELL.split())


def placeholders(run: str | Sequence[str]) -> list[str]:
    """Return the distinct placeholder names in order of appearance, including `args` and `hydra`."""
    texts = [run] if isinstance(run, str) else run
    return list(dict.fromkeys(name for text in texts for name in _named(text)))


@lru_cache(maxsize=256)  # the same few texts for every trial
def _named(text: str) -> tuple[str, ...]:
    return tuple(match.group(1) for match in _TOKEN.finditer(text) if match.group(1))


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
    unknown = [name for name in placeholders(run) if name not in names and name not in KNOWN]
    if unknown == ["config"] and config:
        unknown = []
    if unknown:
        raise ValueError(f"{{{unknown[0]}}} names no parameter; there are {', '.join(names)}, and {{args}}, {{hydra}}")
    if not isinstance(run, str):
        return _substitute_words(run, parameters, names)
    words = split(run)
    if words is not None:
        return _substitute_words(words, parameters, names)
    return ["sh", "-c", _substitute_in_shell(run, parameters, names)]


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
    before, left = "", text if _NESTED.fullmatch(text) else ""
    while left != before:
        before, left = left, _INNERMOST.sub("x", left)
    return left == "x"


def _several(name: str, parameters: Mapping[str, Any], names: Sequence[str]) -> list[str] | None:
    if name == "args":
        return arguments(parameters, names)
    return overrides(parameters, names) if name == "hydra" else None


def _one(name: str, parameters: Mapping[str, Any]) -> str:
    value = parameters.get(name)
    return "" if value is None else plain(value)


def _replace(text: str, value: Callable[[re.Match[str], str], str]) -> str:
    def put(match: re.Match[str]) -> str:
        name = match.group(1)
        return match.group(0)[0] if name is None else value(match, name)

    return _TOKEN.sub(put, text)


def _substitute_words(words: Sequence[str], parameters: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    def put(match: re.Match[str], name: str) -> str:
        several = _several(name, parameters, names)
        return _one(name, parameters) if several is None else _join(several)

    result: list[str] = []
    for word in words:
        whole = _TOKEN.fullmatch(word)
        several = _several(whole.group(1), parameters, names) if whole and whole.group(1) else None
        if several is None:
            result.append(_replace(word, put))
        else:
            result += several
    return result


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
    found = {} if split(run) is not None else dict.fromkeys(placeholders(run), "")
    if found:
        text, names = _marked(run)
        for name, place in zip(names, quoting.read(text).places):
            found[name] = found[name] or place.wrong
    return {name: wrong for name, wrong in found.items() if wrong}


def _marked(run: str) -> tuple[str, list[str]]:
    """Return the command with a MARK for each placeholder, and the placeholders' names."""
    names: list[str] = []

    def put(match: re.Match[str], name: str) -> str:
        names.append(name)
        return quoting.MARK

    return _replace(run, put), names


def _substitute_in_shell(run: str, parameters: Mapping[str, Any], names: Sequence[str]) -> str:
    text, named = _marked(run)
    found = quoting.read(text)
    values = []
    for name, place in zip(named, found.places):
        if place.wrong:
            raise ValueError(f"{{{name}}} stands {place.wrong}")
        several = _several(name, parameters, names)
        if several is None:
            value = _one(name, parameters)
            values.append(quoting.written([value], place, value))
        else:
            values.append(quoting.written(several, place, _join(several)))
    return found.filled(values)
