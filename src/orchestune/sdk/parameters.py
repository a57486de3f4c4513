"""The parameters of a trial, for its script."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


class Params(dict):  # type: ignore[type-arg]  # dict[str, Any] as a base is no Python 3.8
    """Parameters by name: `params["optim.lr"]`, and `params.lr` if the name is a Python identifier.

    >>> import orchestune
    >>> params = orchestune.Params({"optim.lr": 0.1, "layers": 2})
    >>> params["optim.lr"] * params.layers
    0.2
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            names = ", ".join(map(str, self)) or "none"
            raise AttributeError(f"no parameter {name!r} (parameters: {names})") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(str, self)]


def params(defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Params:
    """Return the parameters of this trial, with defaults; outside a trial, the defaults.

    Names that are not Python identifiers go into a mapping: `params({"optim.lr": 0.1}, layers=2)`. A parameter is
    converted to the type of its default if that is a number, string or boolean (`lr=1` is an int, `lr=1.0` a float). An
    inactive parameter, whose `when` does not hold, has its default.

    >>> import orchestune
    >>> params = orchestune.params(lr=0.1, layers=2)
    >>> params.lr, params["layers"]
    (0.1, 2)

    Raises TypeError if a value does not have the type of its default.
    """
    if not isinstance(defaults or {}, Mapping):
        raise TypeError(f"params() expects defaults by name, such as params(lr=0.1), got {defaults!r}")
    all_defaults: dict[str, Any] = {**(defaults or {}), **values}
    path = os.environ.get("ORCHESTUNE_PARAMS")
    trial_values: dict[str, Any] = {}
    if path:
        with open(path, encoding="utf-8") as file:
            trial_values = json.load(file)
    return Params(
        {
            **all_defaults,
            **{name: _convert(name, value, all_defaults.get(name)) for name, value in trial_values.items()},
        }
    )


def _convert(name: str, value: Any, default: Any) -> Any:
    """Convert a value to the type of its default."""
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
        f"parameter {name} is {value!r}, but its default {default!r} in orchestune.params() has the type "
        f"{kind.__name__}: change one of them"
    )
