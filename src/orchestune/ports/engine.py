"""The interface of a search engine, which suggests configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestune.domain.search.parameters import Value
from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation
from orchestune.errors import TemporaryError


class Exhausted(Exception):
    """Every configuration was suggested, or the search for another one gave up."""


class EnginesCrowded(TemporaryError):
    """The engines of all experiments together take more memory than they may, and have to be created again."""


class StillLooking(Exception):
    """The search needs more time; the next `ask` continues it."""


class Engine(Protocol):
    """Ask and tell for one experiment. Not thread-safe; owned by the suggesting controller.

    A suggestion is a function of the space, the observations (in that order), the pending configurations, the trial
    number and the seed: a recreated engine with the same history suggests the same. A configuration that is in the
    history or pending is not suggested while the space has another one; observations of a warm start (number 0) are
    exempt.
    """

    name: str
    version: str
    """changed whenever the same history may lead to another suggestion; recorded with each trial"""
    source: str
    """method of the last suggestion, one word such as `tpe`, or `random` while a model has too few observations"""
    uses_history: bool
    """False if a suggestion depends on the number and the seed alone, so that it can be prefetched"""

    def tell(self, observations: Sequence[Observation]) -> None:
        """Append observations to the history. Models are fitted in `ask`; to send a long history blocks."""

    def ask(self, pending: Sequence[Configuration], number: int, seed: int) -> dict[str, Value]:
        """Return the configuration of trial `number`, active parameters only.

        `pending`: suggested configurations that are not in the history yet. Blocking, about 100 ms; never called on an
        event loop. Raises `Exhausted`, `StillLooking` if more time is needed, and OrchestuneError if the search timed
        out.
        """

    def close(self) -> None:
        """Release the engine's resources (a process, memory). Idempotent."""
