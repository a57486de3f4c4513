from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.worker.processes import memory
from orchestune.worker.processes.memory import ControlGroup, explain


def machine(root: Path, cgroup: str, files: dict[str, str]) -> str:
    """/proc and /sys of a machine, as far as control groups go."""
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


V1 = "9:name=systemd:/docker/ab\n4:memory:/docker/ab\n1:cpu:/docker/ab\n0::/docker/ab\n"


def test_a_container_of_version_1_sees_its_group_at_the_top(tmp_path: Path) -> None:
    top = "sys/fs/cgroup/memory"
    oom = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
    root = machine(tmp_path, V1, {f"{top}/memory.oom_control": oom, f"{top}/memory.limit_in_bytes": "67108864\n"})
    group = ControlGroup(root)
    assert (group.kills(), group.limit()) == (3, 64 * 2**20)


def test_a_host_of_version_1_has_it_below(tmp_path: Path) -> None:
    top = "sys/fs/cgroup/memory"
    files = {f"{top}/memory.oom_control": "oom_kill 7\n", f"{top}/docker/ab/memory.oom_control": "oom_kill 1\n"}
    none = {f"{top}/docker/ab/memory.limit_in_bytes": "9223372036854771712\n"}
    group = ControlGroup(machine(tmp_path, V1, files | none))
    assert (group.kills(), group.limit()) == (1, None)


def test_version_2_says_it_in_other_files(tmp_path: Path) -> None:
    events = "low 0\nhigh 0\nmax 12\noom 2\noom_kill 2\noom_group_kill 0\n"
    files = {"sys/fs/cgroup/memory.events": events, "sys/fs/cgroup/memory.max": "max\n"}
    group = ControlGroup(machine(tmp_path, "0::/\n", files))
    assert (group.kills(), group.limit()) == (2, None)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1073741824\n")
    assert group.limit() == 2**30


def test_a_count_of_a_moment_ago_is_good_enough_to_compare_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    group = ControlGroup(machine(tmp_path, "0::/\n", {"sys/fs/cgroup/memory.events": "oom_kill 2\n"}))
    assert group.recent_kills() == 2
    (tmp_path / "sys/fs/cgroup/memory.events").write_text("oom_kill 3\n")
    assert (group.recent_kills(), group.kills()) == (2, 3)
    now += memory.COUNT_CACHE_SECONDS
    assert group.recent_kills() == 3


@pytest.mark.parametrize("cgroup", ["", "0::/\n", V1, "nonsense\n"])
def test_where_there_is_no_group_nothing_is_known(tmp_path: Path, cgroup: str) -> None:
    group = ControlGroup(machine(tmp_path, cgroup, {}))
    assert (group.kills(), group.limit()) == (0, None)
    assert ControlGroup(str(tmp_path / "nowhere")).kills() == 0


def test_the_limit_is_named() -> None:
    message = "out of memory: killed at its memory limit of"
    assert explain(3 * 2**29, 2**30) == f"{message} 1.5 GiB; its peak was 1 GiB"
    assert explain(64 * 2**20, 0) == f"{message} 64 MiB"
    assert (
        explain(None, 5 * 2**20) == "out of memory: killed because the machine had no memory left; its peak was 5 MiB"
    )
