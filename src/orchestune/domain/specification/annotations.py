"""Type checks of values against the annotations of their classes, for values deserialized from client input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from orchestune.domain.search.floats import as_float
from orchestune.errors import Problem

_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    type(None): "null",
    tuple: "a list",
    Mapping: "an object",
}


def type_problems(value: Any, kind: Any, key: str = "") -> Iterator[Problem]:
    """Yield a problem for each part of `value` that is not of type `kind`; dataclasses are checked field by field."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    fit = next((each for each in kinds if _is(value, each)), None)
    if fit is None:
        yield Problem(f"must be {' or '.join(map(_words, kinds))}, found {value!r:.100}", key=key)
    elif is_dataclass(value):
        cls: Any = type(value)
        for name, each in _hints(cls):
            yield from type_problems(getattr(value, name), each, f"{key}.{name}" if key else name)
    elif get_origin(fit) is tuple:
        inner = get_args(fit)
        for index, item in enumerate(value):
            yield from type_problems(item, inner[0] if inner[-1] is ... else inner[index], f"{key}[{index}]")
    elif get_origin(fit) is Mapping:
        for name, item in value.items():
            yield from type_problems(item, get_args(fit)[1], f"{key}.{name}")


def _is(value: Any, kind: Any) -> bool:
    if kind is float:
        return type(value) in (int, float) and math.isfinite(as_float(value))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return kind is Any or (isinstance(value, get_origin(kind) or kind) and (kind is bool or type(value) is not bool))


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return _WORDS.get(get_origin(kind) or kind, "an object")


@lru_cache
def _hints(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return the names and types of the fields that the class takes in `__init__`, without computed fields."""
    hints = get_type_hints(kind)
    return tuple((each.name, hints[each.name]) for each in fields(kind) if each.init)
