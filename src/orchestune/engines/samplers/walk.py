"""Enumeration of a finite space that continues from ask to ask."""

from __future__ import annotations

from collections.abc import Set

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.engines.constraints.identity import ConfigurationKeys
from orchestune.ports.engine import StillLooking

MAX_STEPS = 10_000_000
"""upper bound of the steps from one new configuration to the next; they take minutes"""
_TURN, _TURN_OPERATIONS = 2000, 100_000
"""steps per ask, and constraint operations on them: an ask takes at most 0.1 s"""


class Walk:
    """Enumerates the configurations in order, the last parameter fastest."""

    def __init__(self, space: Space, identity: ConfigurationKeys) -> None:
        self._space, self._identity = space, identity
        self._steps = space.steps()
        self._turn = min(_TURN, _TURN_OPERATIONS // max(space.operations, 1))
        self._passed: list[tuple[bytes, dict[str, Value]]] = []
        """configurations passed and not observed yet"""
        self.barren = 0
        """steps since the last configuration not observed yet"""

    def next(self, suggested: Set[bytes], busy: Set[bytes]) -> dict[str, Value] | None:
        """Return the first configuration that is neither in `suggested` nor in `busy`; None if there is none.

        Raises StillLooking after a number of steps: the next call continues from there.
        """
        self._passed = [entry for entry in self._passed if entry[0] not in suggested]
        for name, configuration in self._passed:
            if name not in busy:
                return dict(configuration)
        try:
            for turn, candidate in enumerate(self._steps, start=1):
                self.barren += 1
                if candidate is not None and (name := self._identity.of(candidate)) not in suggested:
                    self.barren = 0
                    self._passed.append((name, candidate))
                    if name not in busy:
                        return dict(candidate)
                if turn >= self._turn:
                    raise StillLooking
        except KeyboardInterrupt:  # it ends the generator, which would look like the end of the space
            self._steps, self._passed, self.barren = self._space.steps(), [], 0
            raise
        return None
