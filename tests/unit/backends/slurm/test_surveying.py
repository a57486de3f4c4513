from __future__ import annotations

import pytest

from orchestune.backends.slurm.client import SlurmJob
from orchestune.backends.slurm.quantities import amount, gpu_count
from orchestune.backends.slurm.survey import survey
from orchestune.domain.resources.resources import Resources

MEBI = 2**20
NODES = """\
NodeName=g1 Arch=x86_64 CPUAlloc=5 CPUTot=8 Gres=gpu:a100:4(S:0-1) RealMemory=8000 AllocMem=1300 State=MIXED \
Partitions=gpu,long CfgTRES=cpu=8,mem=8000M,gres/gpu=4 AllocTRES=cpu=5,mem=1300M,gres/gpu=3
NodeName=c1 CPUAlloc=0 CPUTot=4 Gres=(null) RealMemory=4000 AllocMem=0 State=IDLE+DRAIN Partitions=cpu AllocTRES= \
Reason=a fan is broken [root@2026-11-29T07:00:00]
"""


def test_nodes_are_told_with_what_we_and_what_others_hold() -> None:
    ours = [SlurmJob("7", "RUNNING", "g1", "None", "orchestune-x", 2, 300 * MEBI, 1)]
    broken, cards_ = survey(NODES, ours)
    assert (broken.name, broken.pool, broken.trouble) == ("c1", "cpu", "idle+drain: a fan is broken")
    assert (cards_.name, cards_.pool, cards_.trouble) == ("g1", "gpu,long", "")
    assert cards_.has == Resources(8.0, 8000 * MEBI, 4)
    assert (cards_.ours, cards_.others) == (Resources(2.0, 300 * MEBI, 1), Resources(3.0, 1000 * MEBI, 2))


@pytest.mark.parametrize(
    ("state", "fine"),
    [("IDLE", True), ("ALLOCATED", True), ("IDLE~", True), ("IDLE+CLOUD", True), ("MIXED+PLANNED", True),
     ("IDLE*", False), ("DOWN*", False), ("MIXED+DRAIN", False), ("IDLE+NOT_RESPONDING", False), ("", False)],
)  # fmt: skip
def test_a_node_that_takes_no_jobs_is_in_trouble(state: str, fine: bool) -> None:
    [node] = survey(f"NodeName=n State={state} CPUTot=1", [])
    assert (node.trouble == "") is fine


@pytest.mark.parametrize(
    ("text", "count"),
    [("gpu:a100:4(S:0-1)", 4), ("gpu:2", 2), ("gpu", 1), ("gres:gpu:a100:1", 1), ("gres/gpu:a100:3", 3), ("(null)", 0),
     ("cpu=4,gres/gpu=2", 2), ("gpu:a100:2,gpu:v100:1", 3), ("shard:8", 0), ("N/A", 0)],
)  # fmt: skip
def test_cards_are_counted(text: str, count: int) -> None:
    assert gpu_count(text) == count


@pytest.mark.parametrize(("text", "size"), [("300M", 300 * MEBI), ("2.50G", 5 * 2**29), ("0", 0), ("", 0), ("N/A", 0)])
def test_memory_is_counted_as_slurm_does(text: str, size: int) -> None:
    assert amount(text) == size
