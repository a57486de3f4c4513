"""What starts, observes and ends workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from orchestune.domain.resources import Capacity


@dataclass(frozen=True)
class WorkerOrder:
    """One worker to be started."""

    worker: str
    """the worker's id, chosen by the server; starting the same id twice starts one worker"""
    experiment: str
    token: str
    """reaches this experiment's worker routes only; handed over by file or environment, never by argument"""
    slots: int
    gpus: tuple[str, ...] = ()
    launch: Mapping[str, Any] = field(default_factory=dict)
    """what the experiment was created with: environment and folders of the caller's shell (see protocol.md)"""


class Phase(StrEnum):
    """What the backend sees of a worker, which the server may see otherwise."""

    PENDING = "pending"
    RUNNING = "running"
    GONE = "gone"


@dataclass(frozen=True)
class Sighting:
    """One worker as the backend sees it now. `handle` is what the backend needs to find it again after a restart."""

    worker: str
    phase: Phase
    handle: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


class Backend(Protocol):
    """A place where workers run. Never touches the store. Blocking; called by controllers in their own thread.

    Every call is idempotent. `TemporaryError` means: try the same again at the next tick. Workers outlive the
    server; after a restart they are found by the handles that the store kept.
    """

    name: str

    def capacity(self) -> Capacity:
        """What the place has for trials, whether in use or not."""

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        """Start one worker and return its handle (JSON); returns before the worker registers."""

    def observe(self, handles: Mapping[str, Mapping[str, Any]]) -> Sequence[Sighting]:
        """What is seen of those workers (id → handle): one batched call; a worker it knows nothing of is `GONE`."""

    def end(self, worker: str, handle: Mapping[str, Any], grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds, to the worker and all that it started. Does not wait."""
