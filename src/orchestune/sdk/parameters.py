"""The configuration that a trial is to try, from inside the script."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


class Params(dict):  # type: ignore[type-arg]  # dict[str, Any] as a base is no Python 3.8
    """Parameters by name: `params["optim.lr"]`, and `params.lr` where the name is one that Python can write.

    >>> import orchestune
    >>> params = orchestune.Params({"optim.lr": 0.1, "layers": 2})
    >>> params["optim.lr"] * params.layers
    0.2
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(map(str, self)) or "none"
            raise AttributeError(f"there is no parameter {name!r}; there are: {known}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self)]


def params(defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Params:
    """The parameters of this trial over these defaults, which alone count when the script runs by hand.

    Names that are no Python names go into a mapping: `params({"optim.lr": 0.1}, layers=2)`. A parameter takes the type
    of its default where that is a number, a text or a truth value (`lr=1` is a whole number, `lr=1.0` is none). One
    that the trial leaves out, since its `when` does not hold, has its default.

    >>> import orchestune
    >>> params = orchestune.params(lr=0.1, layers=2)
    >>> params.lr, params["layers"]
    (0.1, 2)

    TypeError where a value does not fit the type of its default.
    """
    if not isinstance(defaults or {}, Mapping):
        raise TypeError(f"params() takes defaults by name, such as params(lr=0.1), got {defaults!r}")
    every: dict[str, Any] = {**(defaults or {}), **values}
    path = os.environ.get("ORCHESTUNE_PARAMS")
    given: dict[str, Any] = {}
    if path:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    return Params({**every, **{name: _fitting(name, value, every.get(name)) for name, value in given.items()}})


def _fitting(name: str, value: Any, default: Any) -> Any:
    """The value with the type of its default."""
    kind = type(default)
    if kind not in (bool, int, float, str) or (isinstance(value, kind) and isinstance(value, bool) is (kind is bool)):
        return value
    if kind is str:
        return str(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise TypeError(
        f"parameter {name} is {value!r}, and its default {default!r} in orchestune.params() says that it is of type "
        f"{kind.__name__}; let the two agree"
    )
