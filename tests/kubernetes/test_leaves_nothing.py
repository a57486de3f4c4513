"""Nothing of a cluster is left when it was taken down, or when the test run that owned it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbeds import cgroups
from tests.testbeds.kubernetes.cluster import cluster
from tests.testbeds.owned import REPOSITORY
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

OWNER = """
import signal
from tests.testbeds.kubernetes.cluster import cluster
with cluster(nodes=["only"]) as mine:
    print(mine.folder, mine.network.uplink, flush=True)
    signal.pause()
"""


def traces(folder: Path, uplink: str) -> list[str]:
    """Return the traces of a cluster on this machine."""
    remains = [str(folder)] if folder.exists() else []
    remains += [f"device {uplink}"] if Path("/sys/class/net", uplink).exists() else []
    remains += [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    remains += [str(group) for group in cgroups.groups(f"orchestune-{folder.name}")]
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in line and "tests.testbeds.owned" not in line:  # the guard itself, which ends last
            remains.append(line)
    return remains


def packet_rules() -> str:
    """The host's own packet filter and address translation."""
    outputs = [subprocess.run(["iptables", "-t", table, "-S"], capture_output=True, text=True, check=True).stdout
            for table in ("filter", "nat")]  # fmt: skip
    return "\n".join(outputs)


def test_nothing_is_left_of_a_cluster_that_was_taken_down() -> None:
    with cluster(nodes=["only"]) as mine:
        folder, uplink = mine.folder, mine.network.uplink
        remains = traces(folder, uplink)
        assert any("kubelet" in line for line in remains) and f"device {uplink}" in remains
        assert mine.network.control not in packet_rules()
    assert traces(folder, uplink) == []


def test_a_killed_test_run_leaves_nothing(tmp_path: Path) -> None:
    folder, uplink, owner = start_owner(tmp_path)
    assert traces(folder, uplink)
    owner.kill()
    owner.communicate()
    until(
        "the guard to take the cluster down",
        lambda: not traces(folder, uplink),
        describe=lambda: traces(folder, uplink),
    )


@pytest.mark.long
def test_the_next_run_cleans_up_when_the_guard_was_killed_too(tmp_path: Path) -> None:
    folder, uplink, owner = start_owner(tmp_path)
    for guard in guards(folder):
        os.kill(guard, signal.SIGKILL)
    owner.kill()
    owner.communicate()
    assert traces(folder, uplink)
    with cluster(nodes=["only"]) as other:
        assert other.folder != folder
        assert traces(folder, uplink if uplink != other.network.uplink else "none") == []


def start_owner(tmp_path: Path) -> tuple[Path, str, subprocess.Popen[str]]:
    """A process that owns a cluster and waits to be killed."""
    with (tmp_path / "errors").open("w") as errors:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert owner.stdout is not None
    words = owner.stdout.readline().split()
    assert len(words) == 2, (tmp_path / "errors").read_text()
    return Path(words[0]), words[1], owner


def guards(folder: Path) -> list[int]:
    """The processes that would take the cluster in the folder down."""
    pids = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tests.testbeds.owned" in words and str(folder).encode() in words:
            pids.append(int(file.parent.name))
    assert pids, "nobody guards the cluster"
    return pids
