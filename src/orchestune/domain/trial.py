"""A trial as an engine sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestune.domain.parameters import Value
from orchestune.domain.states import TrialState


@dataclass(frozen=True)
class Observation:
    """A finished trial: its configuration and what was measured (nothing where it failed)."""

    number: int
    """0: of no trial of this experiment, but of its warm start; `parameters` may then lack active ones"""
    parameters: Mapping[str, Value]
    state: TrialState
    metrics: Mapping[str, float] = field(default_factory=dict)
    stddev: Mapping[str, float] = field(default_factory=dict)
    last: tuple[float, float] | None = None
    """of a pruned one: the last step at which it was compared, and its loss there (smaller is better)"""

    @property
    def own(self) -> bool:
        """Whether it is a trial of this experiment, whose configuration is not suggested again."""
        return self.number > 0


def ask_seed(experiment_seed: int, number: int) -> int:
    """The seed of the ask that makes trial `number`: 32 bits which depend on nothing else."""
    digest = hashlib.blake2b(f"{experiment_seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
