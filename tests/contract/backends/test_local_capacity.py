from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestune.backends.local import capacity
from orchestune.backends.local.backend import LocalBackend
from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.resources import Capacity, Machine, Resources
from orchestune.system.control_groups import memory

GIB = 2**30


def ids_of(environ: dict[str, str]) -> tuple[str, ...]:
    return tuple(card.id for card in capacity.gpus(environ))


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    files = {"proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n", "proc/self/cgroup": groups, **files}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_limits_the_machine_and_the_affinity_count(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/user.slice\n", {"sys/fs/cgroup/user.slice/cpu.max": "max 100000\n"})
    assert capacity.cores(root) == len(os.sched_getaffinity(0))
    assert memory(root) == 16 * GIB


def test_the_smallest_limit_of_a_version_2_group_and_of_those_above_it_counts(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    files = {
        f"{top}/pod/cpu.max": "50000 100000",
        f"{top}/pod/box/cpu.max": "max 100000",
        f"{top}/pod/memory.max": "max",
        f"{top}/pod/box/memory.max": str(2 * GIB),
    }
    root = machine(tmp_path, "0::/pod/box\n", files)
    assert capacity.cores(root) == 0.5
    assert memory(root) == 2 * GIB


def test_limits_of_version_1_groups_count_also_where_the_container_sees_only_its_own_root(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    files = {
        f"{top}/cpu,cpuacct/cpu.cfs_quota_us": "25000",
        f"{top}/cpu,cpuacct/cpu.cfs_period_us": "100000",
        f"{top}/memory/memory.limit_in_bytes": str(3 * GIB),
    }
    root = machine(tmp_path, "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n", files)
    assert capacity.cores(root) == 0.25
    assert memory(root) == 3 * GIB


def test_version_1_groups_without_a_limit_limit_nothing(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    files = {
        f"{top}/cpu/cpu.cfs_quota_us": "-1",
        f"{top}/cpu/cpu.cfs_period_us": "100000",
        f"{top}/memory/memory.limit_in_bytes": "9223372036854771712",
    }
    root = machine(tmp_path, "4:memory:/\n1:cpu:/\n0::/\n", files)
    assert capacity.cores(root) == len(os.sched_getaffinity(0))
    assert memory(root) == 16 * GIB


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        ("", ()),
        ("-1", ()),
        ("NoDevFiles", ()),
        ("0", ("0",)),
        ("2, 0,2", ("2", "0")),
        ("1,-1,0", ("1",)),
        ("GPU-8f1e,MIG-77aa", ("GPU-8f1e", "MIG-77aa")),
    ],
)
def test_gpus_that_the_shell_made_visible_are_all_there_are(visible: str, ids: tuple[str, ...]) -> None:
    assert ids_of({"CUDA_VISIBLE_DEVICES": visible, "PATH": "/nowhere"}) == ids


def test_gpus_are_listed_by_the_driver_program(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA A100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA A100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    assert capacity.gpus({"PATH": str(tmp_path)}) == (Gpu("0", "NVIDIA A100"), Gpu("1", "NVIDIA A100"))


def test_a_driver_program_that_fails_means_no_gpus(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: stale'\nexit 9\n")
    program.chmod(0o755)
    assert capacity.gpus({"PATH": str(tmp_path)}) == ()
    assert capacity.gpus({"PATH": str(tmp_path / "empty")}) == ()


def test_a_gpu_that_is_cut_up_counts_by_its_parts(tmp_path: Path) -> None:
    text = (
        "GPU 0: NVIDIA A100 (UUID: GPU-1)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-a)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-b)\n"
        "GPU 1: NVIDIA A100 (UUID: GPU-2)\n"
    )
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\"; done <<'END'\n{text}END\n")
    program.chmod(0o755)
    assert ids_of({"PATH": str(tmp_path)}) == ("MIG-a", "MIG-b", "1")


def test_a_capacity_that_was_given_is_not_measured(tmp_path: Path) -> None:
    own_machine = Machine(3, 5, (Gpu("7"),))
    assert LocalBackend(tmp_path, None, None, ("x",), own_machine).capacity() == Capacity((own_machine,))


MIG_LISTING = """\
GPU 0: NVIDIA A100 (UUID: GPU-1)
  MIG 3g.20gb     Device  0: (UUID: MIG-a)
  MIG 3g.20gb     Device  1: (UUID: MIG-b)
GPU 1: NVIDIA A100 (UUID: GPU-2)
GPU 2: NVIDIA A100 (UUID: GPU-3)
"""


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        (None, None),
        ("1", ("1",)),
        ("2, 1", ("1", "2")),
        ("GPU-2", ("1",)),
        ("0", ("MIG-a", "MIG-b")),
        ("MIG-b,2", ("2", "MIG-b")),
        ("1,-1,2", ("1",)),
        ("", ()),
        ("7", ()),
        ("unlisted,1", ("1", "unlisted")),
    ],
)
def test_an_embedded_server_gives_an_experiment_the_cards_that_its_shell_names(
    visible: str | None, ids: tuple[str, ...] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\"; done <<'END'\n{MIG_LISTING}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,unlisted")  # the first shell's, which started the server
    embedded = LocalBackend(tmp_path, tmp_path / "endpoint.json", None, ("x",))
    assert sorted(card.id for card in embedded.capacity().gpus) == ["1", "2", "MIG-a", "MIG-b", "unlisted"]
    assert embedded.capacity().machines[0].hides == ""
    launch = {"env": {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}}
    gpu_ids = embedded.needs(Resources(gpu=1), launch).gpu_ids
    assert (gpu_ids and tuple(sorted(gpu_ids))) == ids
    assert embedded.needs(Resources(), launch) == Resources()
    stays = LocalBackend(tmp_path, None, "http://127.0.0.1:9", ("x",))
    assert [card.id for card in stays.capacity().gpus] == ["1", "unlisted"]
    assert stays.needs(Resources(gpu=1), launch) == Resources(gpu=1)
