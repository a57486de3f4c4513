"""Our engines and those of others, behind one face."""

from __future__ import annotations

import json
from collections.abc import Sequence

from benchmarks.search.peers.remote import Remote
from benchmarks.search.peers.table import PEERS
from benchmarks.search.simulation import Searcher
from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration, Space
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.estimate import best_estimate
from orchestune.engines.registry import create

_LOSS = (Metric("loss", "minimize"),)


class Ours:
    """An engine of the registry; `tpe:startup=5` has options."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        name, _, rest = name.partition(":")
        options = {
            key: json.loads(value) for key, _, value in (item.partition("=") for item in rest.split(",") if item)
        }
        self._engine = create(name, space, _LOSS, seed=seed, options=options, in_process=True)
        self._space, self._seed = space, seed
        self._told: list[Observation] = []
        self.version = self._engine.version

    def ask(self, pending: Sequence[Configuration], number: int) -> dict[str, Value]:
        return self._engine.ask(pending, number, ask_seed(self._seed, number))

    def tell(self, observation: Observation) -> None:
        self._told.append(observation)
        self._engine.tell([observation])

    def best(self) -> int | None:
        best = best_estimate(self._space, _LOSS, self._told)
        return best.number if best is not None else None


def searcher(name: str, space: Space, seed: int, budget: int, workers: int) -> Searcher:
    """A new searcher: a peer's name, or one of our engines with its options."""
    if name not in PEERS:
        return Ours(name, space, seed)
    if PEERS[name].environment is not None:
        return Remote(name, PEERS[name], space, seed, budget, workers)
    made_searcher: Searcher = PEERS[name].make(space, seed, budget, workers)
    return made_searcher
