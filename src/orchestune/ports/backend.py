"""The interface of a backend, which starts, observes and terminates workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from orchestune.domain.resources.placement import Placement
from orchestune.domain.resources.resources import Capacity, Resources
from orchestune.domain.resources.survey import MachineAllocation


@dataclass(frozen=True)
class WorkerOrder:
    """A request to start one worker."""

    worker: str
    """the worker's id, chosen by the server; `start` is idempotent per id"""
    experiment: str
    """the first experiment of the worker; a warm worker may continue with another one of the same owner"""
    token: str
    """valid for this experiment's worker routes only; passed by file or environment, never by argument"""
    slots: int
    gpus: tuple[str, ...] = ()
    """ids of the GPUs assigned to it; empty if the backend assigns GPUs itself"""
    launch: Mapping[str, Any] = field(default_factory=dict)
    """launch document: environment and folders of the shell that created the experiment (see protocol.md)"""
    each: Resources = Resources()
    """resources of one slot, as returned by `Backend.needs`"""
    placement: Placement = Placement()
    handle: str = ""
    """the experiment's handle, for readable names and labels"""
    owner: str = ""
    avoid: frozenset[str] = frozenset()
    """nodes on which it must not run"""
    grace: float = 10.0
    """seconds between SIGTERM and SIGKILL for the user's command"""


class Phase(StrEnum):
    """The state of a worker as the backend observes it, which may differ from the server's."""

    PENDING = "pending"
    """not started yet; `WorkerStatus.reason` says what it is blocked on"""
    QUEUED = "queued"
    """pending in a queue of the backend: no resources are allocated yet"""
    RUNNING = "running"
    GONE = "gone"

    @property
    def waits(self) -> bool:
        """True if the worker has not started yet."""
        return self in (Phase.PENDING, Phase.QUEUED)


class WorkerLoss(StrEnum):
    """The cause of a worker's disappearance."""

    UNKNOWN = "unknown"
    """unknown: its trial is requeued, and counts the loss"""
    PLACE = "place"
    """preempted, evicted, drained, or its node was lost: its trial is requeued without counting a loss"""
    OUT_OF_MEMORY = "out_of_memory"
    """OOM killed: the trial used more than its limit, which is a model failure"""
    REFUSED = "refused"
    """rejected permanently (image, quota, admission): the experiment pauses with the reason"""


TERMINATED = "the worker was asked to terminate"
"""reason of a worker that is gone after `Backend.terminate`"""


@dataclass(frozen=True)
class WorkerStatus:
    """The observed state of one worker. `backend_ref` lets the backend find it after a restart."""

    worker: str
    phase: Phase
    backend_ref: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    """why it is gone, or what it is blocked on, as text for users"""
    loss: WorkerLoss = WorkerLoss.UNKNOWN
    node: str = ""
    """the node, if known"""


@dataclass(frozen=True)
class PlannedWorker:
    """The objects that `Backend.start` would create for one worker."""

    title: str
    """heading of `objects` for users; empty if they do not show them, as for a process"""
    objects: Sequence[dict[str, Any]]
    """JSON, in the terms of the backend's own API; without the token"""


class WorkerPlanner(Protocol):
    """The part of a backend that checks and plans workers. Changes nothing outside of this process.

    A command line may have one without being able to start workers.
    """

    assigns_gpus: bool
    """True if the server assigns GPUs from `Capacity.gpus`; False if the backend does"""

    def capacity(self) -> Capacity:
        """Return the resources for trials, allocated or not. Cheap: called at every tick."""

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        """Return the requested resources with the backend's defaults filled in, given the file and the caller's shell.

        Cheap: called at every tick.
        """

    def total_request(self, each: Resources, placement: Placement) -> Resources:
        """Return what a node must have available for such a trial, sidecar containers included.

        Cheap: called at every tick.
        """

    def check(self, each: Resources, placement: Placement) -> Sequence[str]:
        """Raise UsageError if such a trial can never run here for a reason other than capacity. May use the network.

        Return notes on the checks that cannot be made now.
        """

    def infeasible_nodes(self, each: Resources, placement: Placement) -> frozenset[str]:
        """Return the nodes of `capacity` on which such a trial cannot be scheduled. Cheap: called at every tick."""

    def plan(self, order: WorkerOrder) -> PlannedWorker:
        """Return what `start` would create for this order. Creates nothing, not even a folder.

        Raises the errors of `start` that do not depend on creating something. Ids that a first `start` would generate
        are zeros. May use the network.
        """


class Backend(WorkerPlanner, Protocol):
    """Runs workers on one cluster or machine. Blocking; controllers call it in their own thread. Never uses the store.

    Every call is idempotent. After a `TemporaryError` the caller retries at the next tick. Workers outlive the server;
    after a restart they are found by the stored `backend_ref`s.
    """

    name: str
    slots_per_worker: int | None
    """None if a worker may have any number of slots (a backend of a single machine)"""
    limits_memory: bool
    """True if the requested memory is a hard limit; False if it is only an estimate for scheduling"""
    queues: bool
    """True if every worker waits in a queue of the backend without allocated resources; False if at most those of
    experiments with a `queue` do
    """

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        """Start one worker, without waiting for its registration; return its `backend_ref`.

        That is JSON by which this backend finds the worker again: its process, container or job.

        An OrchestuneError other than TemporaryError is permanent: the experiment pauses with it as the reason.
        """

    def observe(self, backend_refs: Mapping[str, Mapping[str, Any]]) -> Sequence[WorkerStatus]:
        """Return the state of these workers (id → backend_ref) in one batched call; an unknown worker is `GONE`.

        A killed worker is not `GONE` before the cause is known, if the backend will report one.
        """

    def terminate(self, worker: str, backend_ref: Mapping[str, Any], grace: float) -> None:
        """Terminate the worker and its processes: SIGTERM now, SIGKILL after `grace` seconds. Does not wait."""

    def sweep(self, workers: frozenset[str]) -> None:
        """Delete the objects that this server created for workers other than these: a killed server leaves them behind.

        Never touches other objects.
        """


@runtime_checkable
class Guard(Protocol):
    """A backend that starts workers with more permissions than the authors of experiments have themselves."""

    def refuse(self, each: Resources, placement: Placement, launch: Mapping[str, Any]) -> None:
        """Raise PolicyRefused, with every key, if the workers would get access that only an administrator can allow.

        Called before the experiment exists. `start` must check the same, since code, links and the allow-list may
        change later. Cheap; may read single objects of the cluster (TemporaryError).
        """


@runtime_checkable
class Surveyor(Protocol):
    """A backend that can report the use of its cluster by other workloads."""

    def survey(self) -> Sequence[MachineAllocation]:
        """Return every node, unschedulable ones included. Cheap: reads the backend's watch cache."""

    def notes(self) -> Sequence[str]:
        """Return remarks about the cluster that its status shows to users, one line each. Cheap."""
