"""The private Python, run in a root that holds nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestune.images.runtime import private_python
from tests.integration.worker.fake_server import FakeServer

MOUNT = "/orchestune"
NOBODY = 65534


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = private_python.build_runtime(tmp_path_factory.mktemp("runtime") / "runtime")
    for above in folder.parents[:3]:
        above.chmod(0o755)  # pytest's own folders are for their owner alone
    return folder


@pytest.fixture
def root(built: Path, tmp_path: Path) -> Path:
    """An image in which there is nothing at all, and where the volumes are mounted in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may make another root folder")
    image = tmp_path / "image"
    for name in ("proc", "state", "orchestune", "dev"):
        (image / name).mkdir(parents=True)
    (image / "dev/null").touch()  # every container has one
    return image


def in_empty_root(root: Path, built: Path, command: list[str], environ: Mapping[str, str]) -> list[str]:
    """As nobody, without any capability, everything read-only but /state; loopback is the host's."""
    state = root.parent / "state"
    state.mkdir(exist_ok=True)
    state.chmod(0o777)
    chroot = [shutil.which("chroot") or "chroot", f"--userspec={NOBODY}:{NOBODY}", "--groups="]
    variables = [f"{name}={value}" for name, value in environ.items()]
    steps = [
        f"mount --bind {root} {root}",
        f"mount --bind {built} {root}/orchestune",
        f"mount -o remount,bind,ro {root}/orchestune",
        f"mount --bind {state} {root}/state",
        f"mount -t proc proc {root}/proc",
        f"mount -o remount,bind,ro {root}",
        f"mount --bind /dev/null {root}/dev/null",
        shlex.join(["exec", "env", "-i", *variables, *chroot, str(root), *command]),
    ]
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return [*own, "sh", "-ec", "\n".join(steps)]


def run(root: Path, built: Path, command: list[str], **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        in_empty_root(root, built, command, environ), capture_output=True, text=True, check=False, timeout=120
    )


def test_the_interpreter_runs_where_there_is_nothing_else_and_leaves_no_trace(root: Path, built: Path) -> None:
    code = """
import bz2, ctypes, hashlib, json, lzma, os, sqlite3, ssl, subprocess, sys, threading
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
try:
    open("/written", "w")
    writable = True
except OSError:
    writable = False
print(json.dumps({
    "uid": os.getuid(), "environ": dict(os.environ), "writable": writable, "root": sorted(os.listdir("/")),
    "path": sys.path, "text": "é", "encoding": sys.stdout.encoding,
}))
"""
    done = run(
        root, built, [*private_python.interpreter(MOUNT), "-c", code], PYTHONPATH="/nowhere", LD_LIBRARY_PATH="/none"
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["uid"] == NOBODY and not report["writable"]
    assert report["root"] == ["dev", "orchestune", "proc", "state"]
    assert report["environ"] == {"PYTHONPATH": "/nowhere", "LD_LIBRARY_PATH": "/none"}  # of the image, for its program
    assert all(entry.startswith(f"{MOUNT}/py/") for entry in report["path"])
    assert (report["text"], report["encoding"]) == ("é", "utf-8")


def test_a_worker_in_an_empty_root_runs_the_users_command_in_the_images_own_environment(
    root: Path, built: Path, tmp_path: Path
) -> None:
    program = "import json, os; print('seen=' + json.dumps(dict(os.environ))); print('loss=0.25')"
    server = FakeServer({"run": [*private_python.interpreter(MOUNT), "-c", program]}, slots=1)
    state = tmp_path / "state"
    state.mkdir()
    settings: dict[str, object] = {
        "url": server.url, "endpoint": None, "token": server.token, "worker": "w1", "slots": 1,
        "state": "/state/worker", "gpus": [], "tags": {},
    }  # fmt: skip
    (state / "worker.json").write_text(json.dumps(settings))
    attempt = server.queue()
    environ = {"ORCHESTUNE_WORKER_FILE": "/state/worker.json", "OF_IMAGE": "yes"}
    with subprocess.Popen(
        in_empty_root(root, built, private_python.command(MOUNT), environ), stderr=subprocess.PIPE
    ) as worker:
        try:
            result = server.finished(attempt, 90)
            server.drain = server.over = True
            stderr = worker.communicate(timeout=90)[1]
        finally:
            worker.kill()
            server.stop()
    assert worker.returncode == 0, stderr
    assert result.finished is not None and result.finished["state"] == "succeeded", (result, stderr)
    assert result.values("loss") == [0.25]
    environment = json.loads(result.log.decode().split("seen=")[1].splitlines()[0])
    assert environment["OF_IMAGE"] == "yes"
    assert not [
        name for name in environment if name.startswith("LD_") or name in ("PYTHONHOME", "PYTHONPATH", "LC_CTYPE")
    ]


def test_a_worker_in_an_empty_root_trusts_the_usual_authorities(root: Path, built: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, "{MOUNT}/{private_python.WORKER}")
from orchestune.worker.connection.dialling import trusted
print(len(trusted().get_ca_certs()))
"""
    done = run(root, built, [*private_python.interpreter(MOUNT), "-c", code])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_it_copies_itself_into_a_volume_without_a_shell(root: Path, built: Path, tmp_path: Path) -> None:
    for _ in range(2):  # the second one finds the first one's files
        done = run(root, built, private_python.copy_command(MOUNT, "/state/copy"))
        assert done.returncode == 0, done.stderr
    copied = tmp_path / "state/copy"
    assert described(copied) == described(built)


def test_a_copy_that_cannot_be_written_says_so(root: Path, built: Path) -> None:
    done = run(root, built, private_python.copy_command(MOUNT, "/nowhere"))
    assert done.returncode == 1
    assert "cannot copy to /nowhere" in done.stderr


def test_the_same_machine_gives_the_same_bytes_and_not_too_many(built: Path, tmp_path: Path) -> None:
    again = private_python.build_runtime(tmp_path / "again")
    assert described(again) == described(built)
    assert sum(path.stat().st_size for path in built.rglob("*") if path.is_file()) < 120_000_000
    assert not [path for path in built.rglob("*") if path.is_symlink() or path.name in ("test", "site-packages")]


def test_building_replaces_what_was_there_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "runtime"
    target.mkdir()
    (target / "stale").write_text("of an older version")
    private_python.build_runtime(target)
    assert not (target / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["runtime"]


def described(folder: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of every file."""
    return {
        os.fspath(path.relative_to(folder)): (
            stat.S_IMODE(path.stat().st_mode),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }
