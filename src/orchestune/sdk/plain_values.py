"""Python values as an experiment file would say them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Any

from orchestune.config.document.nodes import written
from orchestune.config.experiment_file import Loaded, parse
from orchestune.errors import BadInput, Problem

_IN_YAML = {"Infinity": ".inf", "-Infinity": "-.inf", "NaN": ".nan"}
_TEXT_OR_NOT_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|' + "|".join(_IN_YAML))


def read_keys(keys: Mapping[str, Any], name: str, said: str, path: Path | None = None) -> Loaded:
    """What an experiment file with these keys says. BadInput with every mistake, by the key it is at.

    `said` is what messages call that of which a value cannot be in a file; the rest is as in `parse`.
    """
    try:
        text = json.dumps(dict(keys), default=plain_value)
    except TypeError as exc:
        raise BadInput(list(_unwritable(keys))) from exc
    except ValueError as exc:  # a list that holds itself
        raise BadInput([Problem(f"cannot be written down: {exc}", key=said)]) from exc
    text = _TEXT_OR_NOT_FINITE.sub(lambda found: _IN_YAML.get(found[0], found[0]), text)
    problems = _pairs(keys.get("parameters"))
    hint = ""
    try:
        loaded = parse(text, name, path=path)
    except BadInput as exc:
        # where in the text, nobody has seen
        problems += [replace(problem, file="", line=None, column=None) for problem in exc.problems]
        hint = exc.hint
    if problems:
        raise BadInput(problems, hint)
    return loaded


def _unwritable(value: Any, key: str = "") -> Iterator[Problem]:
    """What no file could hold, by the key it is at."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if isinstance(name, (str, int, float, bool, NoneType)):
                yield from _unwritable(inner, f"{key}.{name}" if key else str(name))
            else:
                yield Problem(f"the name {name!r} is no text", key=key)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _unwritable(inner, f"{key}[{index}]")
    else:
        try:
            json.dumps(value, default=plain_value)
        except TypeError as exc:
            yield Problem(str(exc), key=key)


def _pairs(parameters: Any) -> list[Problem]:
    """Tuples of two numbers, which are bounds to some libraries, and would be two choices as lists are."""
    found = parameters.items() if isinstance(parameters, Mapping) else ()
    return [
        Problem("a tuple of two numbers may be bounds or choices", f"parameters.{name}", hint=_spellings(*pair))
        for name, pair in found
        if isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair))
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _spellings(low: Real, high: Real) -> str:
    ends = [int(end) if isinstance(end, Integral) else float(end) for end in (low, high)]
    whole = not any(isinstance(end, float) for end in ends)
    between = f'"{ends[0]}.0..{ends[1]}.0" for any number between, ' if whole else ""
    bounds = "..".join(map(written, ends))
    return f'write "{bounds}" for {"whole numbers" if whole else "a range"}, {between}{ends} for two choices'


def plain_value(value: Any) -> Any:
    """Scalars and arrays of NumPy, and other mappings and sequences."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, range):
        return list(value)
    raise TypeError(f"{value!r} is no number, text, truth value, list or mapping")
