"""HEBO (Cowen-Rivers et al., 2022), winner of the black-box challenge of 2020, with its defaults.

It knows nothing of what runs: a suggestion is made of what was observed. Conditions are invisible to it.
"""

from __future__ import annotations

from typing import Any

from benchmarks.search.peers.dials import Dial, Dials, Pending
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation


class Hebo:
    """One optimizer; a failed trial is observed as not finite, which it leaves out."""

    def __init__(self, space: Space, seed: int, budget: int, workers: int) -> None:
        import numpy as np
        import torch
        from hebo.design_space.design_space import DesignSpace
        from hebo.optimizers.hebo import HEBO

        np.random.seed(seed)
        torch.manual_seed(seed)
        self._numpy = np
        self._dials = Dials(space)
        self._optimizer = HEBO(DesignSpace().parse([_dimension(dial) for dial in self._dials.all]), scramble_seed=seed)
        self._open: dict[int, Any] = {}

    def ask(self, pending: Pending, number: int) -> dict[str, Value]:
        self._open[number] = suggestion = self._optimizer.suggest(n_suggestions=1)
        row = suggestion.iloc[0]
        return self._dials.active({dial.name: float(row[dial.name]) for dial in self._dials.all})

    def tell(self, observation: Observation) -> None:
        value = observation.metrics.get("loss", self._numpy.inf)
        self._optimizer.observe(self._open.pop(observation.number), self._numpy.array([[value]]))

    def best(self) -> int | None:
        """The one with the best value."""
        return None


def _dimension(dial: Dial) -> dict[str, Any]:
    if dial.kind == "choice":
        return {"name": dial.name, "type": "cat", "categories": list(range(dial.size))}
    kind = {("float", False): "num", ("float", True): "pow", ("int", False): "int", ("int", True): "pow_int"}
    return {"name": dial.name, "type": kind[dial.kind, dial.log], "lb": dial.low, "ub": dial.high}
