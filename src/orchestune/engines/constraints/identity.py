"""Equality of configurations, independent of the spelling of their values."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b

from orchestune.domain.search.parameters import Parameter, token
from orchestune.domain.search.space import Configuration, Space

_STRANGE = -2.0  # not a value of the parameter, for example from before a change of the space
_MAX_KEY_BYTES = 64  # bytes; longer keys are hashed


class ConfigurationKeys:
    """Maps the configurations of one space to keys.

    Unlike `domain.space.key` it treats `1` and `1.0`, or `0.3` and the third step of 0.1, as equal: a value typed by a
    user may differ in this from one drawn by an engine. It is also faster.
    """

    def __init__(self, space: Space) -> None:
        self._coordinates = [(parameter.name, _coordinate(parameter)) for parameter in space.parameters]
        self._continuous = frozenset(parameter.name for parameter in space.parameters if continuous(parameter))

    def of(self, configuration: Configuration) -> bytes:
        """Return the key of a configuration: equal for equal configurations only."""
        name = array(
            "d",
            [
                coordinate(configuration[name]) if name in configuration else -1.0
                for name, coordinate in self._coordinates
            ],
        ).tobytes()
        return name if len(name) <= _MAX_KEY_BYTES else blake2b(name, digest_size=16).digest()

    def continuous(self, configuration: Configuration) -> bool:
        """Return True if a float without a step is active: only a repeated draw gives an equal configuration then."""
        return not self._continuous.isdisjoint(configuration)

    def set_of(self, configurations: Iterable[Configuration]) -> set[bytes]:
        """Return the keys of several configurations."""
        return {self.of(configuration) for configuration in configurations}


def continuous(parameter: Parameter) -> bool:
    """Return True if the parameter is a float without a step, whose values cannot be enumerated."""
    return parameter.kind == "float" and parameter.step is None


def _coordinate(parameter: Parameter) -> Callable[[object], float]:
    if not parameter.numeric:
        indices = {token(choice): float(index) for index, choice in enumerate(parameter.choices)}
        return lambda value: indices.get(token(value), _STRANGE)
    low, step = parameter.low or 0, parameter.step or 1
    if continuous(parameter):
        return lambda value: float(value) if isinstance(value, (int, float)) else _STRANGE
    return lambda value: float(round((value - low) / step)) if isinstance(value, (int, float)) else _STRANGE
