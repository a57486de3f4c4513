"""When two configurations are the same one, however their values are spelled."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b

from orchestune.domain.parameters import Parameter, token
from orchestune.domain.space import Configuration, Space

_STRANGE = -2.0  # a value that the parameter does not have, such as one from before the space was changed
_LONGEST = 64  # bytes that are kept as they stand


class Identity:
    """Names the configurations of one space.

    In contrast to `domain.space.key` it sees that `1` and `1.0`, or `0.3` and the third step of 0.1, are one value,
    which a configuration that a user typed and one that an engine drew may differ in; and it is faster.
    """

    def __init__(self, space: Space) -> None:
        self._coordinates = [(parameter.name, _coordinate(parameter)) for parameter in space.parameters]
        self._continuous = frozenset(parameter.name for parameter in space.parameters if continuous(parameter))

    def of(self, configuration: Configuration) -> bytes:
        """Equal for equal configurations and for no others."""
        name = array(
            "d",
            [
                coordinate(configuration[name]) if name in configuration else -1.0
                for name, coordinate in self._coordinates
            ],
        ).tobytes()
        return name if len(name) <= _LONGEST else blake2b(name, digest_size=16).digest()

    def continuous(self, configuration: Configuration) -> bool:
        """Whether a float without a step is active, so that only a repeated draw gives the same configuration."""
        return not self._continuous.isdisjoint(configuration)

    def set_of(self, configurations: Iterable[Configuration]) -> set[bytes]:
        """The names of several."""
        return {self.of(configuration) for configuration in configurations}


def continuous(parameter: Parameter) -> bool:
    """Whether the parameter has more values than can be listed."""
    return parameter.kind == "float" and parameter.step is None


def _coordinate(parameter: Parameter) -> Callable[[object], float]:
    if not parameter.numeric:
        indices = {token(choice): float(index) for index, choice in enumerate(parameter.choices)}
        return lambda value: indices.get(token(value), _STRANGE)
    low, step = parameter.low or 0, parameter.step or 1
    if continuous(parameter):
        return lambda value: float(value) if isinstance(value, (int, float)) else _STRANGE
    return lambda value: float(round((value - low) / step)) if isinstance(value, (int, float)) else _STRANGE
