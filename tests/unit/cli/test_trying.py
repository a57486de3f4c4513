"""`test` starts a configuration as a worker of this machine does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.worker.cores import Cores
from tests.unit.cli.conftest import Result

Cli = Callable[..., Result]
FILE = """\
run: sh -c 'echo threads=$OMP_NUM_THREADS of $PYTHON_CPU_COUNT; grep Cpus_allowed_list /proc/self/status; echo loss={x}'
parameters: {x: 0..1}
metrics: {loss: minimize}
budget: 1
resources: {cpu: 1, pin: true}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "experiment.yml").write_text(FILE)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(folder)
    return folder


def test_it_has_its_cores_for_itself_and_as_many_threads(project: Path, cli: Cli, tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    done = cli("test")
    assert done.code == 0, done
    allowed = next(line for line in done.out.splitlines() if line.startswith("Cpus_allowed_list"))
    assert "threads=1 of 1\n" in done.out and int(allowed.split()[1]) in before
    assert os.sched_getaffinity(0) == before
    others = Cores(tmp_path / "home" / "cores")
    assert others.take("another", len(before)), "it gave them back"
    done = cli("test")
    assert "orchestune: not pinned: too few cores are free of other pinned trials (wanted: 1)\n" in done.out
    assert "threads=1 of 1\n" in done.out
    others.release("another")
