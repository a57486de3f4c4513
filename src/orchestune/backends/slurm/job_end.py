"""Mapping of Slurm job states to phases, reasons and losses of workers (`ports.backend.WorkerLoss`: what one costs)."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.backends.slurm.client import SlurmJob
from orchestune.backends.slurm.plan import UNSHARED
from orchestune.ports.backend import TERMINATED, Phase, WorkerLoss

_WAITS = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"})
_RUNS = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "UPDATE_DB"})
_QUEUE_REASONS = {
    "None": "it was just submitted",
    "Priority": "others come first",
    "Resources": "it waits for what it asks for to become free",
    "Dependency": "it waits for another job",
    "BeginTime": "its time to begin has not come",
    "Licenses": "it waits for a license",
    "Reservation": "its reservation has not begun",
    "PartitionDown": "its partition is down",
    "PartitionInactive": "its partition is inactive",
    "PartitionTimeLimit": "its partition does not give it so much time: set `slurm: {time: …}`",
    "PartitionNodeLimit": "its partition does not give it so many nodes",
    "ReqNodeNotAvail": "the nodes that it needs are down, drained or reserved",
    "BadConstraints": "no node is as it asks for",
    "JobHeldUser": "it is held: scontrol release",
    "JobHeldAdmin": "an administrator holds it",
}
"""why Slurm has not started a job, by its reason code (squeue: NODELIST(REASON)), for users"""
_OUTPUT = 53
"""signal number that Slurm reports if a job's output could not be opened"""
_INFRASTRUCTURE_ENDS = {
    "PREEMPTED": "Slurm gave its node to another job",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "DEADLINE": "its deadline has passed",
    "REVOKED": "it was revoked",
    "CANCELLED": "its job was cancelled",
}
"""states in which Slurm, not the trial, ended the job: the trial is requeued without counting a loss"""


def phase(job: SlurmJob) -> tuple[Phase, str]:
    """Return the worker's phase, and what it is pending on as a message for users."""
    if job.state in _WAITS:
        word = job.reason.strip("()").partition(",")[0]
        return (
            Phase.QUEUED,
            f"job {job.id} is in Slurm's queue: {_QUEUE_REASONS.get(word, 'it waits')} ({word or 'no reason'})",
        )
    if job.state == "CONFIGURING":
        return Phase.PENDING, f"the nodes of job {job.id} are made ready"
    if job.state in _RUNS:
        return Phase.RUNNING, "its job is suspended" if job.state in ("SUSPENDED", "STOPPED") else ""
    return Phase.GONE, ""


def judge(
    job: SlurmJob, code: tuple[int, int] | None, terminated: bool, lines: Sequence[str], shared: str
) -> tuple[WorkerLoss, str]:
    """Return the cause and a message for a finished job.

    `code` is its exit code and signal, `terminated` is True if we stopped it, `lines` is its log tail, `shared` the
    folder that its node should see.
    """
    exit_code, number = code or (0, 0)
    if terminated:
        return WorkerLoss.UNKNOWN, TERMINATED
    if job.state == "OUT_OF_MEMORY":
        return WorkerLoss.OUT_OF_MEMORY, "killed for memory: it used more than Slurm gave to its job"
    if job.state == "TIMEOUT":
        return WorkerLoss.UNKNOWN, "the time of its job was over: `slurm: {time: …}` asks for more"
    if job.state in _INFRASTRUCTURE_ENDS:
        return WorkerLoss.PLACE, _INFRASTRUCTURE_ENDS[job.state]
    if job.state == "COMPLETED":
        return WorkerLoss.UNKNOWN, "the worker ended"
    if exit_code == UNSHARED or number == _OUTPUT:
        where = f" {job.node}" if job.node else ""
        return (
            WorkerLoss.REFUSED,
            f"the node{where} does not see {shared}: say in ORCHESTUNE_SHARED which folder nodes share",
        )
    text = f"its job was killed by signal {number}" if number else f"its job ended with exit code {exit_code}"
    return WorkerLoss.UNKNOWN, "\n".join([f"{text}; its last lines:", *lines]) if lines else text
