"""The states of experiments, trials, folds, attempts and workers, and the reasons for being in one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestune import documents


class Desired(StrEnum):
    """State that the user wants an experiment to be in. Its `ExperimentState` follows from this and its trials."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Visibility(StrEnum):
    """Visibility of an experiment in lists."""

    LISTED = "listed"
    HIDDEN = "hidden"
    """deleted: not listed, and can be restored"""
    PURGING = "purging"
    """being removed with its files; cannot be undone"""


class ExperimentState(StrEnum):
    """Observed state of an experiment."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def over(self) -> bool:
        """True if nothing runs and nothing will, unless a user resumes or extends the experiment."""
        return self in (ExperimentState.COMPLETED, ExperimentState.FAILED, ExperimentState.STOPPED)


class TrialState(StrEnum):
    """State of a trial. Completed, failed and pruned are *finished* and count towards the budget; cancelled is not."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    PRUNED = "pruned"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """True if the trial counts towards the budget."""
        return self in (TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)

    @property
    def over(self) -> bool:
        """True if the state is final."""
        return self.finished or self is TrialState.CANCELLED


class FoldState(StrEnum):
    """State of a fold, which is active while one of its attempts is live."""

    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """State of an attempt. Leased and running are *live*: they hold a lease."""

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
        """True if the attempt holds a lease and occupies one slot of the experiment's `parallelism`."""
        return self in (AttemptState.LEASED, AttemptState.RUNNING)


class WorkerState(StrEnum):
    """State of a worker: starting until it registers, lost when its heartbeats stop, ended when it will not return."""

    STARTING = "starting"
    ALIVE = "alive"
    DRAINING = "draining"
    LOST = "lost"
    ENDED = "ended"


class ReasonCode(StrEnum):
    """Reason for the state of an experiment, trial or attempt; a stable part of the API."""

    # an experiment that ended at or before its budget
    BUDGET = "budget"
    TARGET = "target"
    TIME = "time"
    PATIENCE = "patience"
    FUTILE = "futile"
    EXHAUSTED = "exhausted"
    MAX_FAILURES = "max_failures"
    STOPPED = "stopped"
    # an experiment that is paused or pending
    PAUSED_BY_USER = "paused_by_user"
    METRIC_MISSING_AT_FIRST = "metric_missing_at_first"
    FIRST_TRIALS_FAILED = "first_trials_failed"
    IDENTICAL_METRICS = "identical_metrics"
    TRIAL_KILLS_WORKERS = "trial_kills_workers"
    NO_PROGRESS = "no_progress"
    WORKERS_FAIL = "workers_fail"
    WAITING_FOR_RESOURCES = "waiting_for_resources"
    NEVER_FITS = "never_fits"
    ENGINE_FAILED = "engine_failed"
    # a trial or an attempt whose command failed
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    METRIC_MISSING = "metric_missing"
    METRIC_NOT_FINITE = "metric_not_finite"
    COMMAND_NOT_FOUND = "command_not_found"
    OUT_OF_MEMORY = "out_of_memory"
    # an attempt that ended for reasons other than its command
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
    # an attempt that succeeded, but whose files are not all uploaded
    FILES_ON_THE_WAY = "files_on_the_way"
    FILES_LOST = "files_lost"


@dataclass(frozen=True)
class Reason:
    """Code for programs and message for users."""

    code: ReasonCode
    message: str

    def to_json(self) -> documents.Reason:
        """Serialize to the API's `{"code", "message"}`."""
        return {"code": self.code.value, "message": self.message}

    @classmethod
    def from_json(cls, document: dict[str, Any] | None) -> Reason | None:
        """Parse the output of `to_json`; None if there is none. Raises ValueError if the code is unknown."""
        return cls(ReasonCode(document["code"]), str(document.get("message", ""))) if document else None
