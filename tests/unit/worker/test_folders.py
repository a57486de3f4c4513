"""Bundles, views, kept files and checkpoints, without a worker around them."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker import prepare
from orchestune.worker.connection.api import ServerConnection, ServerEndpoint, Unreachable
from orchestune.worker.files import artifacts, bundle, checkpoint
from orchestune.worker.files.bundle import BundleError, UnpackedBundle, unpack
from orchestune.worker.files.removal import remove
from orchestune.worker.files.uploads import Outbox
from orchestune.worker.files.view import TrialFolder, project_links
from tests.testbeds.deep import dig


def archive(path: Path, *members: tuple[str, bytes, str]) -> Path:
    """Members are (name, type, content or target)."""
    with tarfile.open(str(path), "w:gz") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
            else:
                member.linkname = content
                tar.addfile(member)
    return path


def test_nothing_is_waited_for_that_a_server_which_is_away_for_ever_has(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = object.__new__(prepare.Preparation)
    workshop._server = ServerEndpoint("http://127.0.0.1:1", None, "token", "worker")
    tries = []

    def away(connection: ServerConnection) -> None:
        tries.append(connection)
        raise Unreachable("away")

    monkeypatch.setattr(prepare, "MAX_UNREACHABLE_SECONDS", 0.3)
    with pytest.raises(Unreachable):
        workshop._with_retries(away, lambda: True)
    assert len(tries) > 1


FILE, LINK, HARD, FOLDER, PIPE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("../x", FILE, "x")],
        [("/x", FILE, "x")],
        [("a/../../x", FILE, "x")],
        [("a", LINK, "/etc")],
        [("a", LINK, "../..")],
        [("a", LINK, "b"), ("b", FOLDER, ""), ("a/x", FILE, "x")],
        [("a", HARD, "/etc/passwd")],
        [("a", PIPE, "")],
        [("a", FILE, "x"), ("a/b", FILE, "x")],
        [("a", FILE, "x"), ("a", FILE, "y")],
    ],
)
def test_an_archive_that_reaches_out_is_refused(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    with pytest.raises(BundleError):
        unpack(archive(tmp_path / "x.tgz", *members), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"x.tgz", "out"}


def test_an_archive_of_empty_files_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_UNPACKED_BYTES", 512 * 100)
    files = [(f"f{number}", FILE, "") for number in range(101)]
    unpack(archive(tmp_path / "a.tgz", *files[:100]), tmp_path / "a")
    with pytest.raises(BundleError, match="too large"):
        unpack(archive(tmp_path / "b.tgz", *files), tmp_path / "b")


@given(st.binary(max_size=200))
def test_rubbish_is_no_archive(data: bytes) -> None:
    with TemporaryDirectory() as name:
        (Path(name) / "x").write_bytes(data)
        try:
            unpack(Path(name) / "x", Path(name) / "out")
        except BundleError:
            pass


@pytest.fixture
def pristine(tmp_path: Path) -> UnpackedBundle:
    files = [("a.txt", FILE, "a"), ("sub/b.txt", FILE, "b"), ("sub/deep/c.txt", FILE, "c")]
    unpack(archive(tmp_path / "x.tgz", *files, ("link", LINK, "sub/b.txt")), tmp_path / "bundle")
    return UnpackedBundle(tmp_path / "bundle")


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


WRITES = ["new", "overwrite", "same size", "delete", "rename", "folder for file", "file for folder", "chmod", "empty"]


@pytest.mark.parametrize("harm", WRITES)
def test_a_view_is_put_right_after_any_change(tmp_path: Path, pristine: UnpackedBundle, harm: str) -> None:
    view = TrialFolder(tmp_path / "slot")
    view.prepare(pristine, {"data": str(tmp_path)})
    before, folder = content(view.folder), view.folder
    if harm == "new":
        (folder / "sub" / "new").mkdir()
        (folder / "sub" / "new" / "x").touch()
    elif harm == "overwrite":
        (folder / "a.txt").write_text("longer")
    elif harm == "same size":
        (folder / "a.txt").write_text("b")
    elif harm == "delete":
        remove(folder / "sub")
    elif harm == "rename":
        os.rename(folder / "a.txt", folder / "sub" / "b.txt")
    elif harm == "folder for file":
        (folder / "a.txt").unlink()
        (folder / "a.txt" / "x").mkdir(parents=True)
    elif harm == "file for folder":
        remove(folder / "sub")
        (folder / "sub").touch()
    elif harm == "chmod":
        os.chmod(folder / "sub", 0)
        os.chmod(folder / "a.txt", 0)
    else:
        remove(folder)
    view.prepare(pristine, {"data": str(tmp_path)})
    assert content(view.folder) == before
    assert os.access(view.folder / "a.txt", os.W_OK)
    assert content(pristine.folder)["a.txt"] == "a"


def test_folders_in_folders_that_a_trial_removed_are_put_back_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deepest = (tmp_path / "bundle").joinpath(*["d"] * 12)
    deepest.mkdir(parents=True)
    (deepest / "x").write_text("x")
    view, whole = TrialFolder(tmp_path / "slot"), UnpackedBundle(tmp_path / "bundle")
    view.prepare(whole, {"d/data": str(tmp_path)})
    before = content(view.folder)
    remove(view.folder / "d")
    restored: list[str] = []
    restore = view._restore

    def noted(path: str) -> None:
        restored.append(path)
        restore(path)

    monkeypatch.setattr(view, "_restore", noted)
    assert view.prepare_quickly(whole, {"d/data": str(tmp_path)})
    assert content(view.folder) == before
    assert len(restored) == len(set(restored)) == 14


def test_a_large_file_that_a_trial_removed_is_not_put_back_in_passing(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "large").write_bytes(bytes(2**24))
    view, whole = TrialFolder(tmp_path / "slot"), UnpackedBundle(tmp_path / "bundle")
    view.prepare(whole, {})
    (view.folder / "large").unlink()
    (view.folder / "new").touch()
    assert not view.prepare_quickly(whole, {})
    assert sorted(content(view.folder)) == ["new"]
    view.prepare(whole, {})
    assert sorted(content(view.folder)) == ["large"]


@pytest.mark.parametrize("locked", [False, True])
def test_a_view_is_put_right_after_more_folders_in_folders_than_a_path_can_name(
    tmp_path: Path, pristine: UnpackedBundle, locked: bool
) -> None:
    view = TrialFolder(tmp_path / "slot")
    view.prepare(pristine, {})
    before, folder = content(view.folder), view.folder
    dig(view.folder, 1200, 0o500 if locked else 0o700)
    (view.folder / "elsewhere").symlink_to(pristine.folder)
    view.prepare(pristine, {})
    assert view.folder == folder, "it could be removed"
    assert content(view.folder) == before
    assert content(pristine.folder)["a.txt"] == "a"


def test_a_checkpoint_of_more_folders_in_folders_than_python_recurses_is_refused(tmp_path: Path) -> None:
    folder, outbox = tmp_path / "checkpoint", Outbox(tmp_path / "outbox")
    folder.mkdir()
    dig(folder, 550, 0o700)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(500)
    try:
        with pytest.raises(OSError, match="nested too deeply"):
            checkpoint.pack(outbox, folder, "x", 1, None, None)
    finally:
        sys.setrecursionlimit(limit)
    assert outbox.sealed_parcels() == []


def test_an_untouched_view_is_used_again_as_it_is(tmp_path: Path, pristine: UnpackedBundle) -> None:
    view = TrialFolder(tmp_path / "slot")
    view.prepare(pristine, {})
    inodes = {path: path.lstat().st_ino for path in view.folder.rglob("*")}
    view.prepare(pristine, {})
    assert {path: path.lstat().st_ino for path in view.folder.rglob("*")} == inodes
    assert view.prepare_quickly(pristine, {})
    assert not view.prepare_quickly(None, {"x": "y"})
    (view.folder / "large").write_bytes(bytes(2**24))
    assert not view.prepare_quickly(pristine, {})
    view.prepare(pristine, {})
    assert not (view.folder / "large").exists()


def test_what_python_compiled_stays_for_the_next_trial_and_nothing_else_does(
    tmp_path: Path, pristine: UnpackedBundle
) -> None:
    view = TrialFolder(tmp_path / "slot")
    view.prepare(pristine, {})
    compiled = view.folder / "sub/__pycache__/b.cpython-311.pyc"
    compiled.parent.mkdir()
    compiled.write_bytes(b"code")
    (view.folder / "left.txt").write_text("left")
    view.prepare(pristine, {})
    assert compiled.read_bytes() == b"code"
    assert not (view.folder / "left.txt").exists()
    assert artifacts.choose(view.folder, ["sub", "**/*.pyc"], 100, lambda note: None) == [
        ("sub/b.txt", view.folder / "sub/b.txt"), ("sub/deep/c.txt", view.folder / "sub/deep/c.txt"),
    ]  # fmt: skip


def test_a_small_file_outside_the_bundle_is_copied_so_that_a_trial_does_not_change_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = TrialFolder(tmp_path / "slot")
    monkeypatch.setattr("orchestune.worker.files.view.MAX_COPIED_BYTES", 100)
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    for name, size in {"model.pkl": 60, "large.bin": 101, "smaller.bin": 50}.items():
        (project / name).write_bytes(b"x" * size)
    links = {name: str(project / name) for name in ("model.pkl", "large.bin", "smaller.bin", "data")}
    view.prepare(None, links)
    assert {path.name for path in view.folder.iterdir() if path.is_symlink()} == {"model.pkl", "large.bin", "data"}
    (view.folder / "smaller.bin").write_bytes(b"of the trial")
    assert view.written(100) == [("smaller.bin", 12)]
    assert (project / "smaller.bin").read_bytes() == b"x" * 50
    view.prepare(None, links)
    assert (view.folder / "smaller.bin").read_bytes() == b"x" * 50, "the next trial has the user's file"
    (project / "smaller.bin").write_bytes(b"changed by the user")
    view.prepare(None, links)
    assert (view.folder / "smaller.bin").read_bytes() == b"changed by the user"


def test_links_stay_out_of_the_bundle_s_way(tmp_path: Path, pristine: UnpackedBundle) -> None:
    for name in ("a.txt", "data"):
        (tmp_path / name).touch()
    links = project_links(str(tmp_path), ["a.txt", "data", "absent", "../x", "/etc", "link/x", "sub"], pristine)
    assert links == {"data": str(tmp_path / "data")}


def test_a_name_below_another_file_is_left_out(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    notes: list[str] = []
    named = [("a", one), ("a/b", other), ("a/b/c", other), ("a.b", other)]
    chosen = artifacts.choose(tmp_path, [], 1000, notes.append, named)
    assert [name for name, _ in chosen] == ["a", "a.b"]
    assert len(notes) == 2 and "skipped a/b: a is kept as a file" in notes[0]


def test_files_are_kept_by_patterns_within_the_limit(tmp_path: Path) -> None:
    trial = tmp_path / "trial"
    (trial / "plots" / "deep").mkdir(parents=True)
    for name in ("best.pt", "plots/a.png", "plots/b.txt", "plots/deep/c.png"):
        (trial / name).write_text(name)
    (trial / "alias").symlink_to("best.pt")
    (trial / "outside").symlink_to("/etc/hostname")
    notes: list[str] = []
    chosen = artifacts.choose(
        trial, ["alias", "best.pt", "plots/**/*.png", "out*", "../*", "/etc/*", "no"], 1000, notes.append
    )
    assert [name for name, _ in chosen] == ["alias", "best.pt", "plots/a.png", "plots/deep/c.png"]
    assert len(notes) == 4
    outbox = Outbox(tmp_path / "outbox")
    parcel = artifacts.pack(outbox, trial, "x", 1, chosen)
    assert sorted(path.name for path in parcel.iterdir()) == ["0", "1", "2", "3", "manifest.json"]
    assert (parcel / "0").read_text() == (parcel / "1").read_text() == "best.pt"
    assert outbox.sealed_parcels() == [parcel]
    assert artifacts.choose(trial, ["plots"], 3, notes.append) == [] and "exceed the limit" in notes[-1]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"name": "x", "path": "/" + "a" * 300}),
        json.dumps({"name": "x", "path": "/a\0b"}),
        json.dumps({"name": "x", "path": "/\ud800"}),
        "[" * 100_000,
    ],
    ids=["long", "null", "no text", "deep"],
)
def test_what_no_file_can_be_called_is_none_of_those_that_a_command_names(tmp_path: Path, line: str) -> None:
    (tmp_path / "model").touch()
    listing = tmp_path / "listing"
    listing.write_text(line + "\n" + json.dumps({"name": "model", "path": str(tmp_path / "model")}) + "\n")
    assert artifacts.listed(str(listing)) == [("model", tmp_path / "model")]


def test_a_pattern_that_is_none_costs_no_other_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    notes: list[str] = []
    chosen = artifacts.choose(tmp_path, ["**.pt", "model.bin"], 1000, notes.append)
    assert [name for name, _ in chosen] == ["model.bin"]
    assert notes == ["keep: no file matches **.pt"]


def test_a_folder_that_is_linked_from_elsewhere_is_left_out_in_one_sentence(tmp_path: Path) -> None:
    trial, data = tmp_path / "trial", tmp_path / "data"
    for folder in (trial / "plots", data):
        folder.mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (folder / name).touch()
    for name, target in (("data", data), ("same", trial / "plots")):
        (trial / name).symlink_to(target)
    notes: list[str] = []
    chosen = artifacts.choose(trial, ["*", "data", "data/*", "*/*.png"], 1000, notes.append)
    assert [name for name, _ in chosen] == ["plots/a.png", "plots/b.png", "same/a.png", "same/b.png"]
    assert notes == ["keep: skipped data: outside of the trial's folder"]


def test_a_file_whose_name_is_no_text_is_kept_under_what_can_be_read_of_it(tmp_path: Path) -> None:
    for name in (b"caf\xe9.txt", b"caf\xe8.txt", b"plain.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    notes: list[str] = []
    chosen = artifacts.choose(tmp_path, ["*.txt"], 1000, notes.append)
    assert [(name, path.read_bytes()) for name, path in chosen] == [
        ("caf\ufffd.txt", b"caf\xe8.txt"),
        ("plain.txt", b"plain.txt"),
    ]
    assert notes == ["keep: skipped a file: another one is kept as caf\ufffd.txt"]
    parcel = artifacts.pack(Outbox(tmp_path / "outbox"), tmp_path, "x", 1, chosen)
    assert (parcel / "0").read_bytes() == b"caf\xe8.txt"


def test_a_parcel_that_was_not_sealed_is_thrown_away(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    (outbox.new("half") / "0").touch()
    assert outbox.sealed_parcels() == [] and list(tmp_path.iterdir()) == []


class Full(Outbox):
    """A disk without room for what completes a parcel."""

    def seal(self, folder: Path, manifest: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("what", ["checkpoint", "artifacts"])
def test_of_a_parcel_that_cannot_be_written_nothing_stays(tmp_path: Path, what: str) -> None:
    folder, outbox = tmp_path / "folder", Full(tmp_path / "outbox")
    folder.mkdir()
    (folder / "weights").write_text("w")

    def pack() -> None:
        if what == "checkpoint":
            checkpoint.pack(outbox, folder, "x", 1, None, None)
        else:
            artifacts.pack(outbox, folder, "x", 1, [("weights", folder / "weights")])

    with pytest.raises(OSError, match="No space"):
        pack()
    assert list((tmp_path / "outbox").iterdir()) == []


def test_a_checkpoint_is_packed_once_per_change_with_its_links_and_step(tmp_path: Path) -> None:
    folder, outbox = tmp_path / "checkpoint", Outbox(tmp_path / "outbox")
    folder.mkdir()
    assert checkpoint.pack(outbox, folder, "x", 1, None, None) is None
    (folder / "sub").mkdir()
    (folder / "sub" / "weights").write_text("w")
    (folder / "latest").symlink_to(folder / "sub" / "weights")
    (folder / "elsewhere").symlink_to("/etc/hostname")
    (folder / "step").write_text("12\n")
    packed = checkpoint.pack(outbox, folder, "x", 1, 3.0, None)
    assert packed is not None
    parcel, marks = packed
    assert '"step": 12' in (parcel / "manifest.json").read_text()
    unpack(parcel / "archive", tmp_path / "restored")
    assert (tmp_path / "restored" / "latest").read_text() == "w"
    assert not os.path.lexists(tmp_path / "restored" / "elsewhere")
    assert checkpoint.pack(outbox, folder, "x", 1, 3.0, marks) is None


@pytest.mark.parametrize("own", [True, False])
def test_a_checkpoint_tells_its_moment_where_no_file_tells_its_step(tmp_path: Path, own: bool) -> None:
    folder, outbox = tmp_path / "checkpoint", Outbox(tmp_path / "outbox")
    folder.mkdir()
    (folder / "step" if own else folder / "weights").write_text("12")
    before = time.monotonic()
    packed = checkpoint.pack(outbox, folder, "x", 1, 3.0, None)
    assert packed is not None
    manifest = json.loads((packed[0] / "manifest.json").read_text())
    assert manifest["body"]["step"] == (12 if own else 3)
    assert ("moment" in manifest) is not own
    assert before <= manifest.get("moment", before) <= time.monotonic()


@pytest.mark.parametrize(
    ("text", "reported", "step"),
    [
        ("nan", 3.0, 3),
        ("inf", None, None),
        ("1e400", None, None),
        ("-7\n", None, -7),
        ("12345678901234567890", None, 12345678901234567890.0),
        ("9" * 5000, None, None),
        ("later", 12345678901234567890.0, 12345678901234567890.0),
        ("later", 1e300, 1e300),
    ],
)
def test_a_step_is_a_number_that_a_database_can_have(
    tmp_path: Path, text: str, reported: float | None, step: float | None
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "step").write_text(text)
    packed = checkpoint.pack(Outbox(tmp_path / "outbox"), tmp_path / "checkpoint", "x", 1, reported, None)
    assert packed is not None
    packed_step = json.loads((packed[0] / "manifest.json").read_text())["body"]["step"]
    assert (packed_step, type(packed_step)) == (step, type(step))


def test_a_checkpoint_holds_files_of_any_name_and_neither_pipes_nor_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, outbox = tmp_path / "checkpoint", Outbox(tmp_path / "outbox")
    folder.mkdir()
    monkeypatch.chdir(folder)  # the name of a socket may not be long
    os.mkfifo("pipe")
    names = [os.fsdecode(name) for name in (b"bytes\xff", b"line\nline", b"n" * 255)]
    for name in names:
        (folder / name).write_text("w")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        packed = checkpoint.pack(outbox, folder, "x", 1, None, None)
        assert packed is not None
        assert checkpoint.pack(outbox, folder, "x", 1, None, packed[1]) is None
    unpack(packed[0] / "archive", tmp_path / "restored")
    assert sorted(os.listdir(tmp_path / "restored")) == sorted(names)


class Restless(Outbox):
    """While it is asked for a parcel, a file of the checkpoint grows."""

    growing: Path

    def new(self, name: str) -> Path:
        with open(self.growing, "a") as file:
            file.write("x")
        return super().new(name)


def test_a_checkpoint_that_is_written_in_place_all_the_time_is_not_taken(tmp_path: Path) -> None:
    folder, outbox = tmp_path / "checkpoint", Restless(tmp_path / "outbox")
    folder.mkdir()
    outbox.growing = folder / "weights"
    outbox.growing.touch()
    with pytest.raises(checkpoint.UnstableFolder, match="rename"):
        checkpoint.pack(outbox, folder, "x", 1, None, None)
    assert list((tmp_path / "outbox").iterdir()) == []
    assert checkpoint.pack(Outbox(tmp_path / "outbox"), folder, "x", 1, None, None) is not None
