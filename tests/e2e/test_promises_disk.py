"""A full disk, a read-only folder, a locked store: a clear error or a wait, and nothing lost."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.scene import attempts, eventually, launch, reached, server_pid, write
from tests.testbeds.disks import small_disk
from tests.testbeds.home import Home


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 24) as disk:
        yield disk


@pytest.fixture
def home_on_it(disk: Path) -> Iterator[Home]:
    with Home() as home:
        home.folder.rmdir()
        home.folder = disk / "home"
        home.folder.mkdir()
        home.env["ORCHESTUNE_HOME"] = str(home.folder)
        yield home


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    return ballast


def test_a_disk_that_runs_full_and_has_space_again_loses_nothing(home_on_it: Home, disk: Path, tmp_path: Path) -> None:
    home = home_on_it
    command = "sleep 0.2; echo trial $ORCHESTUNE_TRIAL; echo ran >> $ORCHESTUNE_ORIGINAL_DIR/ran; echo loss={x}"
    project = write(tmp_path / "full", command, budget=8)
    handle = launch(home, project)
    eventually(lambda: home.json("status", handle)["counts"]["completed"] >= 2, "two trials are over", home)
    ballast = fill(disk)
    ran = len((project / "ran").read_text().splitlines())
    eventually(
        lambda: (
            "space" in home.run("status", handle, expect=None).stderr + home.server_log()
            or len((project / "ran").read_text().splitlines()) > ran
        ),
        "somebody noticed",
        home,
    )
    refused = home.run("run", "--detach", cwd=write(tmp_path / "refused", "echo loss={x}"), expect=None)
    assert "Traceback" not in refused.stderr
    if refused.returncode:
        assert "space" in refused.stderr
    ballast.unlink()
    status = reached(home, handle, "completed")
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (8, 0), attempts(home, handle)
    log = home.run("logs", handle).stdout
    for number in range(1, 9):
        assert f"trial {number}" in log


def test_a_folder_that_cannot_be_written_to_is_a_clear_error(disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with Home(ORCHESTUNE_HOME=str(disk / "home")) as home:
        done = home.run("run", cwd=write(tmp_path / "unwritable", "echo loss={x}"), expect=2)
        assert str(disk) in done.stderr and "ORCHESTUNE_HOME" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_store_that_somebody_locks_is_waited_for(home: Home, tmp_path: Path) -> None:
    folder = "$ORCHESTUNE_ORIGINAL_DIR"
    wait = f"[ $ORCHESTUNE_TRIAL = 1 ] || until [ -e {folder}/go ]; do sleep 0.05; done"
    project = write(tmp_path / "locked", f"{wait}; echo ran >> {folder}/ran; echo loss={{x}}", budget=8)
    handle = launch(home, project)
    states = ["completed", "running", "running"]
    eventually(lambda: [t["state"] for t in home.json("trials", handle)][:3] == states, "two go on", home)
    serving = server_pid(home)
    database = sqlite3.connect(home.folder / "orchestune.db", timeout=60, isolation_level=None)
    try:
        database.execute("BEGIN EXCLUSIVE")
        late = home.start("run", "--detach", cwd=write(tmp_path / "late", "echo loss={x}", budget=1))
        (project / "go").touch()
        with database:
            completed_count = database.execute("SELECT COUNT(*) FROM trials WHERE state = 'completed'").fetchone()[0]
            ran = project / "ran"
            eventually(
                lambda: len(ran.read_text().splitlines()) > completed_count, "a trial ends that cannot be noted", home
            )
            for _ in range(3):
                assert home.json("status", handle)["counts"]["completed"] == completed_count
    finally:
        database.close()
    status = reached(home, handle, "completed")
    assert server_pid(home) == serving
    assert (status["counts"]["completed"], status["counts"]["failed"]) == (8, 0)
    assert [attempt["state"] for attempt in attempts(home, handle)] == ["succeeded"] * 8
    out, err = late.communicate(timeout=120)
    assert late.returncode == 0, err
    reached(home, out.strip(), "completed")


def test_the_doctor_finds_a_store_that_somebody_locks(home: Home) -> None:
    assert {finding["state"] for finding in home.json("doctor") if finding["name"] in ("server", "store")} == {"ok"}
    database = sqlite3.connect(home.folder / "orchestune.db", timeout=60, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        done = home.run("doctor", "--json", expect=1)
    finally:
        database.close()
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert (findings["server"]["state"], findings["store"]["state"]) == ("ok", "error")
    assert "locked" in findings["store"]["detail"]
    assert findings["store"]["remedy"]
