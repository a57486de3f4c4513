"""scikit-optimize: a Gaussian process of scikit-learn, with its defaults.

It knows nothing of what runs, nor of conditions and failures.
"""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.search.peers.dials import Dial, Dials, Losses, Pending
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation


class ScikitOptimize:
    """One optimizer, asked for one point at a time."""

    def __init__(self, space: Space, seed: int, budget: int, workers: int) -> None:
        from skopt import Optimizer

        warnings.simplefilter("ignore")  # it says that it evaluates a point again
        self._dials, self._losses = Dials(space), Losses()
        self._optimizer = Optimizer([_dimension(dial) for dial in self._dials.all], random_state=seed)
        self._open: dict[int, Any] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        self._open[number] = point = self._optimizer.ask()
        return self._dials.active({dial.name: float(v) for dial, v in zip(self._dials.all, point, strict=True)})

    def tell(self, observation: Observation) -> None:
        point, loss = self._open.pop(observation.number), self._losses.of(observation)
        if loss is not None:
            self._optimizer.tell(point, loss)

    def best(self) -> int | None:
        """The one with the best value."""
        return None


def _dimension(dial: Dial) -> Any:
    from skopt.space import Categorical, Integer, Real

    if dial.kind == "choice":
        return Categorical(list(range(dial.size)), name=dial.name)
    prior = "log-uniform" if dial.log else "uniform"
    if dial.kind == "int":
        return Integer(int(dial.low), int(dial.high), prior=prior, name=dial.name)
    return Real(dial.low, dial.high, prior=prior, name=dial.name)
