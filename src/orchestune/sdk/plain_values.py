"""Conversion of Python values to the values of an experiment file."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any

from orchestune.config.document.nodes import yaml_text
from orchestune.config.experiment_file import Loaded, parse
from orchestune.errors import BadInput, Problem

_IN_YAML = {"Infinity": ".inf", "-Infinity": "-.inf", "NaN": ".nan"}
_TEXT_OR_NOT_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|' + "|".join(_IN_YAML))


def read_keys(keys: Mapping[str, Any], name: str, subject: str, path: Path | None = None) -> Loaded:
    """Parse these keys like an experiment file. Raises BadInput with all problems by key.

    Warns of parameters that may mean something else than they say, such as `0..1`, as the command line does.

    `subject` is the key of problems with values that a file cannot hold; the other arguments are those of `parse`.
    """
    try:
        text = json.dumps(dict(keys), default=plain_value)
    except TypeError as exc:
        raise BadInput(list(_unwritable(keys))) from exc
    except ValueError as exc:  # a list that contains itself
        raise BadInput([Problem(f"cannot be serialized: {exc}", key=subject)]) from exc
    text = _TEXT_OR_NOT_FINITE.sub(lambda match: _IN_YAML.get(match[0], match[0]), text)
    problems = _pairs(keys.get("parameters"))
    hint = ""
    try:
        loaded = parse(text, name, path=path)
    except BadInput as exc:
        # positions in the generated text mean nothing to the user
        problems += [replace(problem, file="", line=None, column=None) for problem in exc.problems]
        hint = exc.hint
    if problems:
        raise BadInput(problems, hint)
    for note in loaded.notes:
        if note.startswith("parameters."):  # the others are about a command and its shell
            warnings.warn(note, stacklevel=4)  # at the call of this package's function
    return loaded


def _unwritable(value: Any, key: str = "") -> Iterator[Problem]:
    """Yield a problem for each value that a file cannot hold, by key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(name, (str, int, float, bool, NoneType)):
                yield from _unwritable(inner, f"{key}.{name}" if key else str(name))
            else:
                yield Problem(f"name {name!r} is not text", key=key)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _unwritable(inner, f"{key}[{index}]")
    else:
        try:
            json.dumps(value, default=plain_value)
        except TypeError as exc:
            yield Problem(str(exc), key=key)


def _pairs(parameters: Any) -> list[Problem]:
    """Report tuples of two numbers: bounds in some libraries, but two choices here, like lists."""
    items = parameters.items() if isinstance(parameters, Mapping) else ()
    return [
        Problem("a tuple of two numbers may be bounds or choices", f"parameters.{name}", hint=_spellings(*pair))
        for name, pair in items
        if isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _spellings(low: Real, high: Real) -> str:
    ends = [int(end) if isinstance(end, Integral) else float(end) for end in (low, high)]
    are_integers = not any(isinstance(end, float) for end in ends)
    float_range = f'"{ends[0]}.0..{ends[1]}.0" for floats, ' if are_integers else ""
    bounds = "..".join(map(yaml_text, ends))
    return f'write "{bounds}" for {"integers" if are_integers else "a range"}, {float_range}{ends} for two choices'


def plain_value(value: Any) -> Any:
    """Convert NumPy scalars and arrays, mappings and ranges to plain values."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, range):
        return list(value)
    raise TypeError(f"{value!r} is not a number, text, boolean, list or mapping")
