from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from orchestune.worker.environment import cores_per_slot, of_job, with_home


def test_a_home_that_can_be_written_stays(tmp_path: Path) -> None:
    base = {"HOME": str(tmp_path), "PATH": "/bin"}
    assert with_home(base, str(tmp_path / "other")) == base
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("home", [{}, {"HOME": ""}, {"HOME": "/nowhere/at/all"}])
def test_where_there_is_no_such_home_a_folder_takes_its_place(tmp_path: Path, home: dict[str, str]) -> None:
    folder = tmp_path / "home"
    assert with_home({"PATH": "/bin", **home}, str(folder)) == {"PATH": "/bin", "HOME": str(folder)}
    assert os.access(folder, os.W_OK)


def job(base: dict[str, str] | None = None, **document: Any) -> dict[str, str]:
    environment = of_job(base or {}, document, "id", "sgd-7f3a")
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def test_libraries_are_told_of_as_many_threads_as_the_trial_has_cores() -> None:
    environment = job(cpu=2.5)
    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")} == {"2"}
    assert job(cpu=0.5)["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in job()


def test_trials_side_by_side_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)))
    assert [cores_per_slot(slots) for slots in (1, 2, 4, 16)] == [0, 3, 1, 1]
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert cores_per_slot(4) == 2
    environment = of_job({}, {}, "id", "sgd-7f3a", cores=3)
    assert (environment[b"OMP_NUM_THREADS"], environment[b"LOKY_MAX_CPU_COUNT"]) == (b"3", b"3")
    assert of_job({}, {"cpu": 2}, "id", "sgd-7f3a", cores=3)[b"OMP_NUM_THREADS"] == b"2"


def test_what_the_user_says_of_threads_stays() -> None:
    assert "MKL_NUM_THREADS" not in job({"OMP_NUM_THREADS": "8"}, cpu=2)
    assert "MKL_NUM_THREADS" not in job(cpu=2, env={"OMP_NUM_THREADS": 8})
    environment = job({"MKL_NUM_THREADS": "3"}, cpu=2)
    assert (environment["MKL_NUM_THREADS"], environment["OMP_NUM_THREADS"]) == ("3", "2")


def test_frameworks_are_told_to_leave_the_others_of_a_card_their_memory() -> None:
    environment = job(gpu=0.25)
    assert environment["ORCHESTUNE_GPU_SHARE"] == "0.25"
    assert environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.225"
    assert environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert job(gpu=0.25, env={"XLA_PYTHON_CLIENT_MEM_FRACTION": ".5"})["XLA_PYTHON_CLIENT_MEM_FRACTION"] == ".5"
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in job(gpu=1)
