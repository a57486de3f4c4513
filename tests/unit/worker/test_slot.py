"""A slot's files, regardless of what the previous attempt left in their places."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from orchestune.worker.files import artifacts
from orchestune.worker.slot import Slot

FILES = ["parameters", "metrics", "stop", "artifacts", "config"]
TEMPLATE = {"name": "model.json", "parts": ['{"x": ', ["x", "0"], "}"]}


def leave(kind: str, place: Path, victim: Path) -> None:
    place.unlink(missing_ok=True)
    if kind == "folder":
        (place / "below").mkdir(parents=True)
        (place / "below" / "file").touch()
        place.chmod(0)
    elif kind == "link":
        place.symlink_to(victim)
    elif kind == "second name":
        os.link(victim, place)
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(place))
    else:
        place.write_text("x" * 1000)
        place.chmod(0)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["folder", "link", "second name", "pipe", "socket", "file"])
def test_the_next_attempt_has_its_files_whatever_stands_in_their_places(
    tmp_path: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    victim = tmp_path / "victim"
    victim.write_text("mine")
    slot = Slot(0, tmp_path / "slot")
    slot.write_files({"x": 1}, TEMPLATE)
    leave(kind, Path(getattr(slot, name)), victim)
    slot.write_files({"x": 2}, TEMPLATE)
    assert json.loads(Path(slot.parameters).read_text()) == {"x": 2}
    assert json.loads(Path(slot.config).read_text()) == {"x": 2}
    assert not any(os.path.lexists(path) for path in (slot.metrics, slot.stop, slot.artifacts))
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_why_it_ends_reaches_an_attempt_whatever_stands_beside(tmp_path: Path, kind: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    slot = Slot(0, tmp_path / "slot")
    leave(kind, Path(f"{slot.stop}.part"), victim)
    slot.write_stop_reason("pruned", None)
    assert json.loads(Path(slot.stop).read_text()) == {"state": "pruned"}
    assert victim.read_text() == "mine"


def test_a_pipe_in_the_place_of_a_list_of_artifacts_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "artifacts.jsonl")
    assert artifacts.listed(str(tmp_path / "artifacts.jsonl")) == []
