"""Latin hypercube sampling: each block has one point in every slice of every parameter."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version

import numpy as np
from scipy.stats import qmc

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.engines.models.cube import Floats

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

    def tell(self, observations: Sequence[Observation]) -> None:
        """Do nothing: the history is not used."""

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        block, place = divmod(max(number - 1, 0), self._size)
        point = _block(max(1, len(self._space.parameters)), self._size, self._seed, block)[place].tolist()
        values = {p.name: p.drawn(position) for p, position in zip(self._space.parameters, point, strict=False)}
        return self._space.active(values)


@lru_cache(maxsize=4)  # of all engines of the process together: a block has up to a million numbers
def _block(dimensions: int, size: int, seed: int, block: int) -> Floats:
    return qmc.LatinHypercube(dimensions, rng=np.random.default_rng([seed, block])).random(size)
