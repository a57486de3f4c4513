"""Whole experiments that move from one server to another, by way of a folder."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from orchestune.files.folder import FolderFiles
from tests.e2e.scene import eventually, launch, reached, write
from tests.testbeds.home import Home

VOLATILE = ("url", "eta_seconds", "desired", "owner", "owner_authenticated")
"""what differs on another server: an imported experiment is stopped, and its owner is only a claim"""


def answers_of(home: Home, handle: str, folder: Path) -> dict[str, Any]:
    """Everything that a user can ask of an experiment that is over."""
    status = home.json("status", handle)
    trials = home.json("trials", handle)
    home.run("get", f"{handle}/1", "-o", str(folder))
    return {
        "status": {name: value for name, value in status.items() if name not in VOLATILE},
        "trials": trials,
        "one": home.json("trials", f"{handle}/1"),
        "best": home.json("best", handle),
        "logs": home.run("logs", handle).stdout,
        "table": home.run("export", handle).stdout,
        "files": {path.name: path.read_bytes() for path in folder.iterdir()},
    }


def rest(home: Home, handle: str) -> None:
    """Wait until the experiment's workers are gone, and nothing of its record changes any more."""
    states = ("ended", "lost")
    eventually(lambda: all(w["state"] in states for w in home.json("status", handle)["workers"]), "workers end", home)


@pytest.fixture
def archived(shared_home: Home, tmp_path: Path) -> tuple[str, Path]:
    """An experiment that is over, with logs too long for rows, files and checkpoints; and the folder it went to."""
    command = "head -c 200000 /dev/urandom | base64; echo m > model; touch $ORCHESTUNE_CHECKPOINT_DIR/e; echo loss={x}"
    project = write(tmp_path / "moving", command, keep=["model"], checkpoint={"every": "1h"}, budget=3)
    handle = launch(shared_home, project)
    reached(shared_home, handle, "completed")
    rest(shared_home, handle)
    eventually(
        lambda: all(shared_home.json("trials", f"{handle}/{n}")["artifacts"] for n in (1, 2, 3)), "files", shared_home
    )
    shared_home.run("export", "--all", "-o", str(tmp_path / "archive"))
    return handle, tmp_path / "archive"


def test_everything_answers_as_before_where_the_archive_was_taken_in(
    archived: tuple[str, Path], shared_home: Home, tmp_path: Path
) -> None:
    handle, archive = archived
    before = answers_of(shared_home, handle, tmp_path / "before")
    with Home() as other:
        output = other.run("import", str(archive), "--trust-unverified").stdout
        assert f"{handle}  copied, 3 trials" in output
        assert answers_of(other, handle, tmp_path / "after") == before
        assert (
            f"{handle}  already exists"
            in other.run("import", str(archive), "--trust-unverified", "--cluster", "local").stdout
        )
        assert answers_of(other, handle, tmp_path / "again") == before


def test_an_experiment_that_went_on_is_taken_in_again(shared_home: Home, tmp_path: Path) -> None:
    project = write(tmp_path / "longer", "echo loss={x}", budget=2)
    handle = launch(shared_home, project)
    reached(shared_home, handle, "completed")
    archive = str(tmp_path / "archive")
    with Home() as other:
        shared_home.run("export", "--all", "-o", archive)
        other.run("import", archive, "--trust-unverified")
        shared_home.run("extend", handle, "--budget", "4")
        reached(shared_home, handle, "completed")
        eventually(lambda: shared_home.json("status", handle)["counts"]["completed"] == 4, "four", shared_home)
        shared_home.run("export", "--all", "-o", archive)
        assert f"{handle}  copied, 4 trials" in other.run("import", archive, "--trust-unverified").stdout
        assert other.json("trials", handle) == shared_home.json("trials", handle)


def test_a_damaged_record_is_refused_and_nothing_of_it_is_there(archived: tuple[str, Path], tmp_path: Path) -> None:
    handle, archive = archived
    files = FolderFiles(archive)
    [key] = [key for key in files.keys("experiments/") if _handle(files, key) == handle]
    with files.open(key) as file:
        whole = file.read()
    others = {_handle(files, one) for one in files.keys("experiments/")} - {handle}
    trial = b'"type":"trial","number":1,"state":"'
    changed = gzip.compress(gzip.decompress(whole).replace(trial + b"completed", trial + b"cancelled", 1))
    for damaged, word in (
        (whole[: len(whole) // 2], "damaged or incomplete"),
        (changed, "its checksum does not match"),
    ):
        files.delete(key)
        (tmp_path / "damaged").write_bytes(damaged)
        with (tmp_path / "damaged").open("rb") as file:
            files.put(key, file)
        with Home() as other:
            errors = other.run("import", str(archive), "--trust-unverified", expect=1).stderr
            assert word in errors and f"{key}: " in errors
            assert {one["handle"] for one in other.json("status")} == others


def _handle(files: FolderFiles, key: str) -> str:
    with files.open(key) as file:
        return str(json.loads(gzip.decompress(file.read()).splitlines()[0])["handle"])


def test_what_is_not_over_is_left_out_and_said(shared_home: Home, tmp_path: Path) -> None:
    handle = launch(shared_home, write(tmp_path / "running", "sleep 600", budget=1))
    try:
        errors = shared_home.run("export", "--all", "-o", str(tmp_path / "archive")).stderr
        assert "not exported, because they have not ended:" in errors and handle in errors
    finally:
        shared_home.run("stop", handle)


def test_nonsense_is_answered_with_what_to_do(shared_home: Home, tmp_path: Path) -> None:
    assert "no such folder" in shared_home.run("import", str(tmp_path / "none"), expect=2).stderr
    assert "no experiments in" in shared_home.run("import", str(tmp_path), expect=2).stderr
    assert "--all needs a destination" in shared_home.run("export", "--all", expect=2).stderr
    assert "remove them" in shared_home.run("export", "x", "--all", "-o", "y", expect=2).stderr
