"""The one file that is the whole worker."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune import __version__
from orchestune.images.runtime.bytecode import compiled
from orchestune.worker import VERSION
from orchestune.worker.build import build
from tests.integration.worker.conftest import SOURCE, RunningWorker
from tests.integration.worker.fake_server import FakeServer


def old_python() -> str | None:
    """A Python 3.8, where this machine has one."""
    for name in ("python3.8", *map(str, Path.home().glob(".pyenv/versions/3.8*/bin/python3.8"))):
        program = shutil.which(name)
        if program and subprocess.run([program, "-c", "pass"], capture_output=True, check=False).returncode == 0:
            return program
    return None


def test_the_archive_is_the_same_each_time_and_runs(
    serve: Callable[..., FakeServer], employ: Callable[..., RunningWorker], tmp_path: Path
) -> None:
    archive = build(tmp_path / "a" / "worker.pyz")
    assert archive.read_bytes() == build(tmp_path / "b.pyz").read_bytes()
    server = serve("echo loss=1")
    attempt = server.queue()
    employ(server, command=[sys.executable, "-W", "error", str(archive)])
    assert server.finished(attempt).values("loss") == [1.0]


@pytest.mark.skipif(old_python() is None, reason="this machine has no Python 3.8")
def test_the_archive_runs_on_python_3_8(
    serve: Callable[..., FakeServer], employ: Callable[..., RunningWorker], tmp_path: Path
) -> None:
    server = serve("mkdir out; echo 1 > out/a; echo loss=1", keep={"patterns": ["out/*"], "limit": 100})
    attempts = [server.queue() for _ in range(20)]
    worker = employ(server, command=[str(old_python()), str(build(tmp_path / "worker.pyz"))])
    for attempt in attempts:
        assert server.finished(attempt).values("loss") == [1.0]
    server.wait(lambda: len(server.artifacts) == 20)
    server.drain = True
    assert worker.wait() == 0


def test_without_settings_it_says_what_is_missing(tmp_path: Path) -> None:
    archive = build(tmp_path / "worker.pyz")
    done = subprocess.run([sys.executable, str(archive)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ORCHESTUNE_WORKER_FILE is not set" in done.stderr


def test_the_worker_stays_within_python_3_8() -> None:
    vermin = str(Path(sys.executable).with_name("vermin"))
    command = [vermin, "-t=3.8-", "--no-tips", "--violations", str(SOURCE / "orchestune" / "worker")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_worker_alone_has_the_version_of_orchestune(tmp_path: Path) -> None:
    archive = build(tmp_path / "worker.pyz")
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); from orchestune.worker import VERSION; print(VERSION)"
    alone = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert alone.stdout.strip() == VERSION == __version__


def test_bytecode_of_this_python_is_taken_and_that_of_another_one_left(tmp_path: Path) -> None:
    own = build(tmp_path / "own.pyz", compiled)
    other = build(tmp_path / "other.pyz", lambda source: b"\0\0\0\0" + (compiled(source) or b"")[4:])
    for archive, is_used in ((own, True), (other, False)):
        look = "import orchestune.worker.loop as it; print(it.__file__, it.WorkerLoop.__name__)"
        env = {"PYTHONPATH": str(archive)}
        done = subprocess.run([sys.executable, "-S", "-c", look], env=env, capture_output=True, text=True, check=True)
        file, name = done.stdout.split()
        assert (file.endswith(".pyc"), name) == (is_used, "WorkerLoop"), done.stdout
