"""What suggests configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestune.domain.parameters import Value
from orchestune.domain.space import Configuration
from orchestune.domain.trial import Observation


class Exhausted(Exception):
    """Every configuration was suggested once, or none was found that was not."""


class StillLooking(Exception):
    """There is no answer yet. Whoever asks again lets the engine go on where it was."""


class Engine(Protocol):
    """Ask and tell for one experiment. Not thread-safe; the suggesting controller owns it.

    An answer depends on the space, the observations told (in that order), the pending configurations, the trial
    number and the seed, and on nothing else: an engine that is built again and told the same history answers the
    same. It never suggests a configuration that was told or is pending while the space has another one; what is told of
    a warm start (number 0) is history alone, and may be suggested.
    """

    name: str
    version: str
    """changes when the same history may lead to another answer; recorded with each trial"""
    source: str
    """which method made the latest answer, such as `tpe`, or `random` where a model was not ready; one word"""
    uses_history: bool
    """False: the answer depends on the number and the seed alone, so suggestions may be made far ahead"""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Append to the history. Cheap: the work belongs in `ask`."""

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        """The configuration of trial `number`, active parameters only. May take 100 ms; raises `Exhausted`,
        or `StillLooking` where it would take longer, and OrchestuneError where it has looked for long enough.

        `pending` holds the configurations handed out and not yet told. Blocking; never called on an event loop.
        """

    def close(self) -> None:
        """Release what the engine holds (a process, memory). Idempotent."""
