"""A walk through a finite space that goes on from ask to ask."""

from __future__ import annotations

from collections.abc import Set

from orchestune.domain.parameters import Value
from orchestune.domain.space import Space
from orchestune.engines.identity import Identity
from orchestune.ports.engine import StillLooking

MOST = 10_000_000
"""steps from one configuration to the next, which take minutes: more are not worth it"""
_TURN, _TURN_OPERATIONS = 2000, 100_000
"""steps of one ask, and operations of the constraints on them: a turn takes a tenth of a second at most"""


class Walk:
    """The configurations in order, the last parameter fastest."""

    def __init__(self, space: Space, identity: Identity) -> None:
        self._space, self._identity = space, identity
        self._steps = space.steps()
        self._turn = min(_TURN, _TURN_OPERATIONS // max(space.operations, 1))
        self._passed: list[tuple[bytes, dict[str, Value]]] = []
        """walked through, and not told yet"""
        self.barren = 0
        """steps since the last configuration that was not told"""

    def next(self, told: Set[bytes], busy: Set[bytes]) -> dict[str, Value] | None:
        """The first one that is neither told nor busy; None where there is none.

        `StillLooking` after some steps: the next call goes on from there.
        """
        self._passed = [entry for entry in self._passed if entry[0] not in told]
        for name, configuration in self._passed:
            if name not in busy:
                return dict(configuration)
        try:
            for turn, found in enumerate(self._steps, start=1):
                self.barren += 1
                if found is not None and (name := self._identity.of(found)) not in told:
                    self.barren = 0
                    self._passed.append((name, found))
                    if name not in busy:
                        return dict(found)
                if turn >= self._turn:
                    raise StillLooking
        except KeyboardInterrupt:  # which ends the generator: it would seem to have come to the end of the space
            self._steps, self._passed, self.barren = self._space.steps(), [], 0
            raise
        return None
