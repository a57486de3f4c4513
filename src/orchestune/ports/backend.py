"""What starts, observes and ends workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from orchestune.domain.placement import Placement
from orchestune.domain.resources import Capacity, Resources
from orchestune.domain.survey import Surveyed


@dataclass(frozen=True)
class WorkerOrder:
    """One worker to be started."""

    worker: str
    """the worker's id, chosen by the server; starting the same id twice starts one worker"""
    experiment: str
    """for which it is started; it may go on with another one of the same owner"""
    token: str
    """reaches this experiment's worker routes only; handed over by file or environment, never by argument"""
    slots: int
    gpus: tuple[str, ...] = ()
    """ids of the place's GPUs that it may use; empty where the place hands them out itself"""
    launch: Mapping[str, Any] = field(default_factory=dict)
    """what the experiment was created with: environment and folders of the caller's shell (see protocol.md)"""
    each: Resources = Resources()
    """what one slot needs, as `Backend.needs` told"""
    placement: Placement = Placement()
    handle: str = ""
    """the experiment's handle, for names and labels that people read"""
    owner: str = ""
    avoid: frozenset[str] = frozenset()
    """machines that it must not use"""
    grace: float = 10.0
    """seconds that the user's command has between SIGTERM and SIGKILL"""


class Phase(StrEnum):
    """What the backend sees of a worker, which the server may see otherwise."""

    PENDING = "pending"
    """not started yet; the sighting's reason tells what it waits for"""
    QUEUED = "queued"
    """the same, in a queue of the place: until its turn has come, it holds nothing"""
    RUNNING = "running"
    GONE = "gone"

    @property
    def waits(self) -> bool:
        """Whether it has not started yet."""
        return self in (Phase.PENDING, Phase.QUEUED)


class Gone(StrEnum):
    """Whose fault it is that a worker is gone."""

    UNKNOWN = "unknown"
    """it ended, and nothing says why: its trial is offered again, and losses are counted at the trial"""
    PLACE = "place"
    """preempted, evicted, drained, its machine went away: its trial is offered again and nothing is counted"""
    OUT_OF_MEMORY = "out_of_memory"
    """the trial used more than its limit: the model's failure"""
    REFUSED = "refused"
    """it can never start as it was ordered (image, quota, admission): the experiment pauses with the reason"""


@dataclass(frozen=True)
class Sighting:
    """One worker as the backend sees it now. `handle` is what the backend needs to find it again after a restart."""

    worker: str
    phase: Phase
    handle: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    """for people: why it is gone, or what it waits for"""
    gone: Gone = Gone.UNKNOWN
    node: str = ""
    """the machine, where it is known"""


class Backend(Protocol):
    """A place where workers run. Never touches the store. Blocking; called by controllers in their own thread.

    Every call is idempotent. `TemporaryError` means: try the same again at the next tick. Workers outlive the
    server; after a restart they are found by the handles that the store kept.
    """

    name: str
    slots_per_worker: int | None
    """None: a worker takes as many as are wanted, on the one machine that the place is"""
    assigns_gpus: bool
    """True: the server picks the GPUs of each worker from `Capacity.gpus`; False: the place itself does"""

    limits_memory: bool
    """True: a trial gets no more memory than it asked for; False: what it asked for is what it is expected to take"""
    queues: bool
    """True: every worker waits in a queue of the place, and holds nothing until its turn has come; False: at most those
    of experiments that name a `queue`
    """

    def capacity(self) -> Capacity:
        """What the place has for trials, whether in use by us or not. Cheap: asked at every tick."""

    def needs(self, each: Resources, launch: Mapping[str, Any]) -> Resources:
        """What a trial gets here, given what its file says and how the shell that started it was: fills in what the
        place cannot leave open. Cheap: asked at every tick.
        """

    def takes(self, each: Resources, placement: Placement) -> Resources:
        """What a machine has to have for a trial that gets so much: more where other programs come with it. Cheap:
        asked at every tick.
        """

    def check(self, each: Resources, placement: Placement) -> None:
        """UsageError where such a trial can never run here, for another reason than the capacity. May ask the place."""

    def closed_to(self, each: Resources, placement: Placement) -> frozenset[str]:
        """Machines of `capacity` that take no such trial, whatever is free there. Cheap: asked at every tick."""

    def start(self, order: WorkerOrder) -> Mapping[str, Any]:
        """Start one worker and return its handle (JSON); returns before the worker registers.

        An OrchestuneError that is no TemporaryError says that it can never start: the experiment pauses with it.
        """

    def observe(self, handles: Mapping[str, Mapping[str, Any]]) -> Sequence[Sighting]:
        """What is seen of those workers (id → handle): one batched call; a worker it knows nothing of is `GONE`.

        A worker that the place is still about to judge (killed, the verdict not in yet) is not `GONE` before that.
        """

    def end(self, worker: str, handle: Mapping[str, Any], grace: float) -> None:
        """SIGTERM now, SIGKILL after `grace` seconds, to the worker and all that it started. Does not wait."""

    def sweep(self, workers: frozenset[str]) -> None:
        """Remove what the place has of ours for other workers than these (not known to be gone), as a server that was
        killed in the middle leaves it. Never touches what is not ours.
        """


@runtime_checkable
class Guard(Protocol):
    """A backend that starts workers with more rights than the authors of experiments have."""

    def refuse(self, each: Resources, placement: Placement, launch: Mapping[str, Any]) -> None:
        """Refuse an experiment whose workers would get access that only an administrator can allow.

        PolicyRefused with every key; the experiment does not exist yet. `start` must refuse the same by itself, since
        code, links and the allow-list may change later. Cheap; may ask the place for single objects (TemporaryError).
        """


@runtime_checkable
class Surveyor(Protocol):
    """A backend whose place shows who else uses it."""

    def survey(self) -> Sequence[Surveyed]:
        """Every machine, those too on which nothing may be started. Cheap, from what the backend watches anyway."""

    def notes(self) -> Sequence[str]:
        """What else is worth knowing of the place, a line each. As cheap."""
