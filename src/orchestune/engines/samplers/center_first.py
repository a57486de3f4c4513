"""The first suggestion of `auto` and `gp`, without their libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.engines.constraints.deduplication import Proposer
from orchestune.engines.versions import version_of

_MIDDLE = 0.5


class CenterFirst:
    """Suggests the center of a space of numbers at once; `load` imports the engine while that trial runs.

    The center is also the first point of the engine's initial design (`quasi.start_design`), so the suggestions are
    those of the engine. NumPy, SciPy and Optuna take a second to import, and the first result comes that much earlier.
    """

    uses_history = True
    tries = 2

    def __init__(self, name: str, space: Space, build: Callable[[], Proposer]) -> None:
        """`build` imports and returns the engine; it is called once."""
        self.name, self.version, self.source = name, version_of(name), "sobol"
        self._space, self._build = space, build
        self._observations: list[Observation] = []
        self._engine: Proposer | None = None

    def tell(self, observations: Sequence[Observation]) -> None:
        if self._engine is None:
            self._observations += observations
        else:
            self._engine.tell(observations)

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if self._engine is None and number == 1 and not self._observations:
            center = self._space.active({each.name: each.drawn(_MIDDLE) for each in self._space.parameters})
            if self._space.allows(center):
                return center
        engine = self.load()
        configuration = engine.propose(pending, number, seed)
        self.source = engine.source
        return configuration

    def load(self) -> Proposer:
        """Return the engine; the first call imports and builds it."""
        if self._engine is None:
            self._engine = self._build()
            self._engine.tell(self._observations)
            self._observations.clear()
        return self._engine
