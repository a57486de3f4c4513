"""The states of experiments, trials, folds, attempts and workers, and the reasons for being in one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestune import documents


class Desired(StrEnum):
    """What the owner wants of an experiment."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Visibility(StrEnum):
    """Where an experiment is shown."""

    LISTED = "listed"
    HIDDEN = "hidden"
    """deleted: lists leave it out, and it can be shown again"""
    PURGING = "purging"
    """it is being removed with its files, which cannot be undone"""


class ExperimentState(StrEnum):
    """What is observed of an experiment."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def over(self) -> bool:
        """Nothing of it runs and nothing will, unless somebody resumes or extends it."""
        return self in (ExperimentState.COMPLETED, ExperimentState.FAILED, ExperimentState.STOPPED)


class TrialState(StrEnum):
    """Completed, failed and pruned are *finished*: they count for the budget; cancelled is not."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PRUNED = "pruned"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Counts as one of the budget's trials."""
        return self in (TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)

    @property
    def over(self) -> bool:
        """Will not change any more."""
        return self.finished or self is TrialState.CANCELLED


class FoldState(StrEnum):
    """A fold is active while one of its attempts is live."""

    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """Leased and running are *live*: they hold a lease."""

    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PRUNED = "pruned"
    LOST = "lost"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"

    @property
    def live(self) -> bool:
        """Holds a lease, and so one of the experiment's `parallelism` places."""
        return self in (AttemptState.LEASED, AttemptState.RUNNING)


class WorkerState(StrEnum):
    """Starting until it registers, lost when its beats stop, ended when it is gone for good."""

    STARTING = "starting"
    ALIVE = "alive"
    DRAINING = "draining"
    LOST = "lost"
    ENDED = "ended"


class ReasonCode(StrEnum):
    """Why an experiment, a trial or an attempt is in its state; scripts may rely on these words."""

    # an experiment that ended before its budget, or at it
    BUDGET = "budget"
    TARGET = "target"
    TIME = "time"
    PATIENCE = "patience"
    FUTILE = "futile"
    EXHAUSTED = "exhausted"
    MAX_FAILURES = "max_failures"
    STOPPED = "stopped"
    # an experiment that is paused or that waits
    PAUSED_BY_USER = "paused_by_user"
    METRIC_MISSING_AT_FIRST = "metric_missing_at_first"
    FIRST_TRIALS_FAILED = "first_trials_failed"
    IDENTICAL_METRICS = "identical_metrics"
    TRIAL_KILLS_WORKERS = "trial_kills_workers"
    WORKERS_FAIL = "workers_fail"
    WAITING_FOR_RESOURCES = "waiting_for_resources"
    NEVER_FITS = "never_fits"
    ENGINE_FAILED = "engine_failed"
    # a trial or an attempt whose user command went wrong
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    METRIC_MISSING = "metric_missing"
    METRIC_NOT_FINITE = "metric_not_finite"
    COMMAND_NOT_FOUND = "command_not_found"
    OUT_OF_MEMORY = "out_of_memory"
    # an attempt that ended through no fault of the model
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    REPORT_REJECTED = "report_rejected"
    PREEMPTED = "preempted"
    NODE_QUARANTINED = "node_quarantined"
    BUNDLE_UNAVAILABLE = "bundle_unavailable"
    SANDBOX = "sandbox"
    PAUSED = "paused"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"
    PRUNED = "pruned"
    # an attempt that succeeded, of whose files something is to be told
    FILES_ON_THE_WAY = "files_on_the_way"
    FILES_LOST = "files_lost"


@dataclass(frozen=True)
class Reason:
    """A code for programs and a sentence for people."""

    code: ReasonCode
    message: str

    def to_json(self) -> documents.Reason:
        """The `{"code", "message"}` of the API."""
        return {"code": self.code.value, "message": self.message}

    @classmethod
    def from_json(cls, document: dict[str, Any] | None) -> Reason | None:
        """The inverse of `to_json`; ValueError for a code that is unknown."""
        return cls(ReasonCode(document["code"]), str(document.get("message", ""))) if document else None
