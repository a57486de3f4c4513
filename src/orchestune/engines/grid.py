"""Every configuration of a finite space, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.domain.parameters import Value
from orchestune.domain.space import Configuration, Space
from orchestune.domain.trial import Observation
from orchestune.engines.identity import Identity, continuous
from orchestune.errors import BadInput, OrchestuneError, Problem
from orchestune.ports.engine import Exhausted, StillLooking

_TURN = 2000
"""steps of one ask"""
_MOST = 10_000_000
"""steps from one configuration to the next, which take minutes"""


class GridEngine:
    """An `Engine` that walks the space, the last parameter fastest, and skips what was told or is pending.

    The seed plays no part, nor does the number: a queued configuration of a user takes a number, but no grid point.
    """

    name = source = "grid"
    version = "1"
    uses_history = False

    def __init__(self, space: Space) -> None:
        """BadInput names the parameters which keep the space from being finite."""
        endless = [parameter for parameter in space.parameters if continuous(parameter)]
        if endless:
            raise BadInput(
                [Problem("has no step, so a grid has no end", key=parameter.name) for parameter in endless],
                hint="give each of them a step or a list of values, or choose another engine",
            )
        self._identity = Identity(space)
        self._told: set[bytes] = set()
        self._steps = space.steps()
        self._passed_over = 0
        self._passed: list[tuple[bytes, dict[str, Value]]] = []  # walked through and not told yet

    def tell(self, observations: Sequence[Observation]) -> None:
        self._told |= self._identity.set_of(observation.parameters for observation in observations if observation.own)

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        busy = self._identity.set_of(pending)
        self._passed = [entry for entry in self._passed if entry[0] not in self._told]
        for name, configuration in self._passed:
            if name not in busy:
                return dict(configuration)
        for turn, found in enumerate(self._steps, start=1):
            self._passed_over += 1
            if found is not None and (name := self._identity.of(found)) not in self._told:
                self._passed_over = 0
                self._passed.append((name, found))
                if name not in busy:
                    return dict(found)
            if self._passed_over > _MOST:
                raise OrchestuneError(
                    f"{_MOST:,} steps through the grid led to no further configuration that the constraints allow",
                    "another engine, such as random, finds what is allowed anywhere; or list fewer values",
                )
            if turn >= _TURN:
                raise StillLooking
        raise Exhausted("every point of the grid has been suggested once")

    def close(self) -> None:
        self._passed.clear()
