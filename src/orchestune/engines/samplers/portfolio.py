"""The engine `auto`: alternates engines on one history. docs/search.md has the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints.deduplication import Proposer
from orchestune.engines.samplers.gp import HISTORY, GpProposer
from orchestune.engines.samplers.start import STARTUP
from orchestune.engines.samplers.tpe import TpeProposer
from orchestune.engines.versions import version_of


class AutoProposer:
    """A Gaussian process for even trial numbers, TPE for odd ones; half of these go to the process while it is stalled.

    TPE also learns from pruned trials: if early stopping leaves few values, it starts before the process. The process
    learns from failed trials, and starts before TPE if most fail.
    """

    name = "auto"
    uses_history = True
    tries = 2

    def __init__(
        self,
        space: Space,
        metrics: Sequence[Metric],
        seed: int,
        *,
        startup: int = STARTUP,
        candidates: int = 24,
        history: int | None = None,
    ) -> None:
        self._gp = GpProposer(space, metrics, seed, startup=startup, history=history and min(history, HISTORY))
        self._tpe = TpeProposer(space, metrics, startup=startup, candidates=candidates, history=history)
        self.source = self._gp.source
        self.version = version_of(self.name)

    def tell(self, observations: Sequence[Observation]) -> None:
        self._gp.tell(observations)
        self._tpe.tell(observations)

    def propose(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        if number % 2 == 0 or self._gp.looks_elsewhere(number) or not self._tpe.ready(len(pending)):
            return self._from(self._gp, pending, number, seed)
        return self._from(self._tpe, pending, number, seed)

    def _from(self, proposer: Proposer, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        configuration = proposer.propose(pending, number, seed)
        self.source = proposer.source
        return configuration
