"""Trials as engines see them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Value


@dataclass(frozen=True)
class Observation:
    """Finished trial: its configuration and its metrics (empty if it failed)."""

    number: int
    """0: from the warm start and not a trial of this experiment; `parameters` may then lack active ones"""
    parameters: Mapping[str, Value]
    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    stddev: Mapping[str, float] = field(default_factory=dict)
    last: tuple[float, float] | None = None
    """for a pruned trial: the last step at which it was compared, and its loss there (smaller is better)"""

    @property
    def own(self) -> bool:
        """True for a trial of this experiment, whose configuration is not suggested again."""
        return self.number > 0


def ask_seed(experiment_seed: int, number: int) -> int:
    """Return the 32-bit seed of the ask that creates trial `number`; it depends on the arguments only."""
    digest = hashlib.blake2b(f"{experiment_seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
