"""Latin hypercube sampling: each block has one point in every slice of every parameter."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from scipy.stats import qmc

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation

SIZE = 32


class LatinProposer:
    """Suggests blocks of `size` points, one block per `size` trials.

    Only a complete block is evenly spread, so `size` should be the budget or divide it.
    """

    name = source = "latin"
    uses_history = False
    tries = 1

    def __init__(self, space: Space, seed: int, *, size: int = SIZE) -> None:
        self.version = f"4/scipy-{version('scipy')}"
        self._space, self._seed, self._size = space, seed, size
        self._block: tuple[int, list[list[float]]] | None = None

    def tell(self, observations: Sequence[Observation]) -> None:
        """Do nothing: the history is not used."""

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        block, place = divmod(max(number - 1, 0), self._size)
        if self._block is None or self._block[0] != block:
            dimensions = max(1, len(self._space.parameters))
            cube = qmc.LatinHypercube(dimensions, rng=np.random.default_rng([self._seed, block]))
            self._block = block, cube.random(self._size).tolist()
        point = self._block[1][place]
        values = {p.name: p.drawn(position) for p, position in zip(self._space.parameters, point, strict=False)}
        return self._space.active(values)
