"""The engines that learn from the history, by name. Their libraries are imported only when one is created."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from orchestune.domain.search.space import Space
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.constraints.deduplication import Proposer
from orchestune.engines.samplers.center_first import CenterFirst


def proposer(name: str, space: Space, metrics: Sequence[Metric], seed: int, options: Mapping[str, Any]) -> Proposer:
    """Return a new proposer with an empty history."""
    if name in ("auto", "gp") and all(parameter.numeric for parameter in space.parameters):
        return CenterFirst(name, space, partial(_built, name, space, metrics, seed, options))
    return _built(name, space, metrics, seed, options)


def _built(name: str, space: Space, metrics: Sequence[Metric], seed: int, options: Mapping[str, Any]) -> Proposer:
    with warnings.catch_warnings():
        # from Optuna's progress bar, which is never shown, in a notebook without ipywidgets
        warnings.filterwarnings("ignore", "IProgress not found")
        return _proposer(name, space, metrics, seed, options)


def _proposer(name: str, space: Space, metrics: Sequence[Metric], seed: int, options: Mapping[str, Any]) -> Proposer:
    if name == "tpe":
        from orchestune.engines.samplers.tpe import TpeProposer  # imported here: Optuna and NumPy take 0.3 s

        return TpeProposer(space, metrics, **options)
    if name == "gp":
        from orchestune.engines.samplers.gp import GpProposer  # imported here: SciPy takes a second

        return GpProposer(space, metrics, seed, **options)
    if name == "cma":
        from orchestune.engines.samplers.cma import CmaProposer

        return CmaProposer(space, metrics, seed, **options)
    if name == "evolution":
        from orchestune.engines.samplers.evolution import EvolutionProposer

        return EvolutionProposer(space, metrics, seed, **options)
    if name == "swarm":
        from orchestune.engines.samplers.swarm import SwarmProposer

        return SwarmProposer(space, metrics, seed, **options)
    from orchestune.engines.samplers.portfolio import AutoProposer

    return AutoProposer(space, metrics, seed, **options)
