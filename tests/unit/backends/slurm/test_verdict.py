from __future__ import annotations

import pytest

from orchestune.backends.slurm.client import SlurmJob, error_message
from orchestune.backends.slurm.job_end import judge, phase
from orchestune.ports.backend import Phase, WorkerLoss


def job(state: str, reason: str = "None") -> SlurmJob:
    return SlurmJob("7", state, "n1", reason, "orchestune-x")


@pytest.mark.parametrize(
    ("state", "reason", "expected_phase", "words"),
    [
        ("PENDING", "Priority", Phase.QUEUED, "others come first (Priority)"),
        ("PENDING", "(Resources)", Phase.QUEUED, "become free (Resources)"),
        ("PENDING", "QOSMaxGRESPerUser", Phase.QUEUED, "it waits (QOSMaxGRESPerUser)"),
        (
            "PENDING",
            "ReqNodeNotAvail, UnavailableNodes:n1",
            Phase.QUEUED,
            "down, drained or reserved (ReqNodeNotAvail)",
        ),
        ("CONFIGURING", "None", Phase.PENDING, "made ready"),
        ("RUNNING", "None", Phase.RUNNING, ""),
        ("COMPLETING", "None", Phase.RUNNING, ""),
        ("SUSPENDED", "None", Phase.RUNNING, "suspended"),
        ("COMPLETED", "None", Phase.GONE, ""),
        ("NODE_FAIL", "None", Phase.GONE, ""),
        ("SOME_STATE_OF_LATER_VERSIONS", "None", Phase.GONE, ""),
    ],
)
def test_where_a_worker_is(state: str, reason: str, expected_phase: Phase, words: str) -> None:
    worker_phase, why = phase(job(state, reason))
    assert worker_phase is expected_phase and words in why


@pytest.mark.parametrize(
    ("state", "code", "whose", "words"),
    [
        ("COMPLETED", None, WorkerLoss.UNKNOWN, "the worker ended"),
        ("PREEMPTED", None, WorkerLoss.PLACE, "another job"),
        ("NODE_FAIL", None, WorkerLoss.PLACE, "node failed"),
        ("CANCELLED", None, WorkerLoss.PLACE, "cancelled"),
        ("TIMEOUT", None, WorkerLoss.UNKNOWN, "time of its job was over"),
        ("OUT_OF_MEMORY", None, WorkerLoss.OUT_OF_MEMORY, "more than Slurm gave"),
        ("FAILED", (3, 0), WorkerLoss.UNKNOWN, "exit code 3; its last lines:\nlast words"),
        ("FAILED", (0, 9), WorkerLoss.UNKNOWN, "signal 9"),
        ("FAILED", (0, 53), WorkerLoss.REFUSED, "n1 does not see /shared"),
        ("FAILED", (66, 0), WorkerLoss.REFUSED, "n1 does not see /shared"),
        ("FAILED", None, WorkerLoss.UNKNOWN, "exit code 0"),
    ],
)
def test_whose_fault_an_end_is(state: str, code: tuple[int, int] | None, whose: WorkerLoss, words: str) -> None:
    loss, why = judge(job(state), code, False, ["last words"], "/shared")
    assert loss is whose and words in why
    assert judge(job(state), code, True, [], "/shared") == (WorkerLoss.UNKNOWN, "the worker was asked to terminate")


def test_what_a_command_says_is_told_without_its_name() -> None:
    stderr = "sbatch: error: invalid partition specified: gone\nsbatch: error: Batch job submission failed: Invalid\n"
    assert error_message("sbatch", stderr) == "invalid partition specified: gone; Batch job submission failed: Invalid"
    assert error_message("sbatch", "") == "sbatch failed"
