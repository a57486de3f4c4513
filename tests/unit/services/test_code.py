"""Views of the code of trials."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from orchestune.errors import BadInput, NotFound
from orchestune.services.core import Core
from orchestune.services.queries import read_code, read_trials
from orchestune.store.blobs import unreferenced
from tests.contract.world import decoded
from tests.testbeds.seed import CHANGED, CODE, HOSTILE, core_of, seed


def test_a_trial_has_the_files_it_began_with(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    old, new = read_code.code(core, ref, 1), read_code.code(core, ref, None)
    assert [each["path"] for each in old["files"]] == sorted(CODE)
    assert [each["path"] for each in new["files"]] == sorted(CHANGED)
    assert old["bundle"] != new["bundle"] == read_code.code(core, ref, 120)["bundle"]
    assert {each["path"]: each["kind"] for each in old["files"]}["setup.sh"] == "program"
    assert {each["path"]: each["size"] for each in old["files"]}["data/classes.txt"] == 8
    assert read_code.text(core, ref, 1, "train.py")["text"] == CODE["train.py"]
    assert read_code.text(core, ref, None, "train.py")["text"] == CHANGED["train.py"]


def test_without_code_nothing_is_listed(core: Core, handles: dict[str, str]) -> None:
    listing = read_code.code(core, handles["broken script"], 1)
    assert listing == {"bundle": None, "size": None, "files": [], "more": False}


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "data", "train.py/", ""])
def test_only_files_of_the_archive_are_read(core: Core, handles: dict[str, str], path: str) -> None:
    with pytest.raises(NotFound, match="the code has no file"):
        read_code.text(core, handles["sgd classifier"], None, path)


def test_differences_are_those_of_values_and_of_lines(core: Core, handles: dict[str, str]) -> None:
    ref = handles["sgd classifier"]
    difference = read_code.diff(core, f"{ref}/1", f"{ref}/120")
    trials = [read_trials.trial(core, ref, number) for number in (1, 120)]
    assert difference["configuration"]["parameters.alpha"] == [trial["parameters"]["alpha"] for trial in trials]
    changes = {each["path"]: (each["change"], each["added"], each["removed"]) for each in difference["code"]["files"]}
    assert changes == {"README.md": ("added", 1, 0), "train.py": ("changed", 1, 1)}
    assert read_code.diff(core, f"{ref}/1", f"{ref}/1")["code"]["files"] == []


@pytest.mark.parametrize("name", ["", "/3", "sgd", "sgd/x", "sgd/99999999999"])
def test_what_names_no_trial_is_refused(core: Core, handles: dict[str, str], name: str) -> None:
    with pytest.raises((BadInput, NotFound)):
        read_code.diff(core, name, f"{handles['sgd classifier']}/1")


def test_code_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    core = core_of(tmp_path)
    ref = seed(core)[HOSTILE]
    with core.store.transaction() as session:
        assert unreferenced(session, core.clock.now() + 10) == []
        session.connection.exec_driver_sql("DELETE FROM blobs")
    with pytest.raises(NotFound, match="the code was deleted"):
        read_code.code(core, ref, 1)
    core.store.close()


def test_a_trial_tells_its_command(core: Core, handles: dict[str, str]) -> None:
    trial = decoded(read_trials.trial(core, handles["sgd classifier"], 5))
    alpha, layers = trial["parameters"]["alpha"], trial["parameters"]["layers"]
    assert trial["command"].startswith(f"python train.py --alpha={alpha!r} ")
    assert trial["command"].endswith(f" --layers={layers}")
    assert read_trials.trial(core, handles[HOSTILE], 1)["command"] == HOSTILE  # a shell reads it as it stands


def test_a_bundle_that_cannot_be_inspected_is_not_inspected_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find out took four minutes for each request."""
    inspections = []

    def members(archive: object) -> None:
        inspections.append(archive)
        raise BadInput.one("too large to inspect")

    monkeypatch.setattr(read_code, "members", members)
    monkeypatch.setattr(read_code, "_archive", lambda core, digest: digest)
    for _ in range(3):
        with pytest.raises(BadInput, match="too large to inspect"):
            read_code._members(cast(Core, None), "a digest of its own")
    assert len(inspections) == 1
