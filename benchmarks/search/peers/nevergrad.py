"""Nevergrad: `NGOpt`, which chooses an algorithm by space, budget and workers, as its documentation recommends.

It knows nothing of conditions and failures.
"""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.search.peers.dials import Dial, Dials, Losses, Pending
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation


class Nevergrad:
    """One optimizer, which knows the numbers of workers and trials."""

    def __init__(self, space: Space, seed: int, budget: int, workers: int) -> None:
        import nevergrad as ng
        import numpy as np

        warnings.simplefilter("ignore")
        self._dials, self._losses = Dials(space), Losses()
        instrumented = ng.p.Dict(**{dial.name: _dimension(dial) for dial in self._dials.all})
        instrumented.random_state = np.random.RandomState(seed)
        self._optimizer = ng.optimizers.NGOpt(instrumented, budget=budget, num_workers=min(workers, budget))
        self._open: dict[int, Any] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        self._open[number] = candidate = self._optimizer.ask()
        return self._dials.active({name: float(value) for name, value in candidate.value.items()})

    def tell(self, observation: Observation) -> None:
        candidate, loss = self._open.pop(observation.number), self._losses.of(observation)
        if loss is not None:
            self._optimizer.tell(candidate, loss)

    def best(self) -> int | None:
        """The one with the best value."""
        return None


def _dimension(dial: Dial) -> Any:
    import nevergrad as ng

    if dial.kind == "choice":
        return ng.p.Choice(list(range(dial.size)))
    scalar = ng.p.Log(lower=dial.low, upper=dial.high) if dial.log else ng.p.Scalar(lower=dial.low, upper=dial.high)
    return scalar.set_integer_casting() if dial.kind == "int" else scalar
