"""Cores that pinned trials have for themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestune.worker.processes import cores
from orchestune.worker.processes.cores import Cores, choose, pinned_to


def test_cores_of_one_node_go_together_and_large_nodes_are_kept() -> None:
    assert choose([[0, 1, 2, 3], [4, 5]], 2) == [4, 5]
    assert choose([[0, 1, 2, 3], [4, 5]], 3) == [0, 1, 2]
    assert choose([[0, 1], [4, 5]], 3) == [0, 1, 4]
    assert choose([[0, 1], [4, 5]], 5) == []


def test_workers_of_a_machine_share_no_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: [0, 1, 2, 3])
    one, other = Cores(tmp_path), Cores(tmp_path)
    first, second = one.reserve("a", 2), other.reserve("b", 2)
    assert sorted([*first, *second]) == [0, 1, 2, 3]
    assert one.reserve("c", 1) == []
    other.release("b")
    assert sorted(one.reserve("c", 2)) == sorted(second)


def test_cores_that_could_not_be_looked_at_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "usable", lambda: [0, 1])
    one, other = Cores(tmp_path), Cores(tmp_path)
    other.reserve("a", 1)
    (folder,) = tmp_path.iterdir()
    (folder / "1").unlink()
    (folder / "1").mkdir()  # is in the way
    other.release("a")
    assert one.reserve("b", 1) == []
    (folder / "1").rmdir()
    assert other.reserve("c", 2) == [0, 1]


def test_what_a_worker_held_is_free_when_it_is_gone(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    code = (
        "import sys, pathlib; from orchestune.worker.processes.cores import Cores;"
        "print(Cores(pathlib.Path(sys.argv[1])).reserve('a', int(sys.argv[2])))"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(tmp_path), str(len(mine))], text=True)
    assert sorted(map(int, output.strip("[]\n").split(","))) == mine
    assert sorted(Cores(tmp_path).reserve("b", len(mine))) == mine


def test_a_child_runs_on_the_cores_and_its_parent_anywhere() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with pinned_to([one]):
        affinity = subprocess.check_output(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], text=True
        )
    assert affinity.strip() == str({one})
    assert os.sched_getaffinity(0) == before


def test_threads_of_a_core_stand_beside_each_other(tmp_path: Path) -> None:
    for cpu, (node, core) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1), (0, 0), (1, 0)]):
        folder = tmp_path / f"cpu/cpu{cpu}"
        (folder / "topology").mkdir(parents=True)
        (folder / f"node{node}").mkdir()
        (folder / "topology/core_id").write_text(f"{core}\n")
    assert cores.by_node(range(6), str(tmp_path)) == [[0, 4, 2], [1, 5, 3]]
