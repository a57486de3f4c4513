"""Random search, and the uniform draw used as fallback by other engines. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation

_NOTHING: Mapping[str, Value] = MappingProxyType({})


def draw(space: Space, random: Random, fixed: Mapping[str, Value] = _NOTHING) -> dict[str, Value]:
    """Return a draw along the tree of conditions, uniform or by priors; active `fixed` parameters keep their values."""
    configuration: dict[str, Value] = {}
    for parameter in space.parameters:
        name = parameter.name
        if parameter.when and not space.is_active(name, configuration):
            continue
        configuration[name] = fixed[name] if name in fixed else parameter.drawn(random.random())
    return configuration


class UniformProposer:
    """Independent uniform draws (uniform in the logarithm where `log`)."""

    name = source = "random"
    version = "4"
    uses_history = False
    tries = 8

    def __init__(self, space: Space) -> None:
        self._space = space

    def tell(self, observations: Sequence[Observation]) -> None:
        """Do nothing: the history is not used."""

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        return draw(self._space, Random(seed))
