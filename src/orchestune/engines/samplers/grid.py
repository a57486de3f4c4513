"""Grid search: every configuration of a finite space in order."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.engines.constraints.identity import ConfigurationKeys, continuous
from orchestune.engines.samplers.walk import MAX_STEPS, Walk
from orchestune.errors import BadInput, OrchestuneError, Problem
from orchestune.ports.engine import Exhausted, StillLooking


class GridEngine:
    """An `Engine` that enumerates the space, the last parameter fastest, and skips observed and pending configurations.

    Ignores seed and number: a configuration queued by a user takes a number, but no grid point.
    """

    name = source = "grid"
    version = "2"
    uses_history = False

    def __init__(self, space: Space) -> None:
        """Raise BadInput with the continuous parameters if the space is not finite."""
        endless = [parameter for parameter in space.parameters if continuous(parameter)]
        if endless:
            raise BadInput(
                [Problem("has no step, so a grid has no end", key=parameter.name) for parameter in endless],
                hint="give each of them a step or a list of values, or choose another engine",
            )
        self._identity = ConfigurationKeys(space)
        self._told: set[bytes] = set()
        self._walk = Walk(space, self._identity)

    def tell(self, observations: Sequence[Observation]) -> None:
        self._told |= self._identity.set_of(observation.parameters for observation in observations if observation.own)

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        try:
            configuration = self._walk.next(self._told, self._identity.set_of(pending))
        except StillLooking:
            if self._walk.barren <= MAX_STEPS:
                raise
            raise OrchestuneError(
                f"no further configuration allowed by the constraints in {MAX_STEPS:,} steps through the grid",
                "use another engine, such as random, or list fewer values",
            ) from None
        if configuration is None:
            raise Exhausted("every point of the grid has been suggested once")
        return configuration

    def close(self) -> None:
        """Do nothing: it holds no resources."""
