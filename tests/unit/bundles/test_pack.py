from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestune.bundles.listing import EntryKind, Listing, plan
from orchestune.bundles.pack import pack
from orchestune.bundles.unpack import archive_at, members
from orchestune.errors import BadInput, Conflict, OrchestuneError, TooLarge

LIMIT = 1 << 26


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    (folder / "model.py").write_text("print('accuracy=0.9')\n")
    (folder / "lib" / "data.bin").write_bytes(bytes(range(256)) * 5000)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)
    (folder / "link").symlink_to("lib/data.bin")
    return folder


def listing(path: Path) -> list[tuple[str, int]]:
    """Path and size of what the archive holds."""
    return [(name, member.size) for name, member in members(archive_at(path)).items()]


def test_the_archive_is_named_by_its_digest_and_holds_the_code(project: Path, tmp_path: Path) -> None:
    bundle = pack(project, (), LIMIT, tmp_path / "out")
    content = bundle.path.read_bytes()
    assert bundle.path == tmp_path / "out" / f"{bundle.digest}.tar.gz"
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (bundle.digest, bundle.size)
    assert bundle.files == 4
    with tarfile.open(bundle.path) as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    copy = tmp_path / "copy"
    assert (copy / "lib" / "data.bin").read_bytes() == bytes(range(256)) * 5000
    assert os.readlink(copy / "link") == "lib/data.bin"
    assert os.access(copy / "run.sh", os.X_OK)
    assert not os.access(copy / "model.py", os.X_OK)


def test_unchanged_code_gives_the_same_digest_elsewhere_and_later(project: Path, tmp_path: Path) -> None:
    first = pack(project, (), LIMIT, tmp_path / "out")
    copy = tmp_path / "other name"
    shutil.copytree(project, copy, symlinks=True)
    os.utime(copy / "model.py", (1, 1))
    (copy / "model.py").chmod(0o664)
    (copy / "__pycache__").mkdir()
    second = pack(copy, (), LIMIT, tmp_path / "out")
    assert second.digest == first.digest
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("change", ["content", "name", "mode", "link"])
def test_changed_code_gives_another_digest(project: Path, tmp_path: Path, change: str) -> None:
    first = pack(project, (), LIMIT, tmp_path / "out")
    if change == "content":
        (project / "model.py").write_text("print('accuracy=0.8')\n")
    elif change == "name":
        (project / "model.py").rename(project / "model2.py")
    elif change == "mode":
        (project / "model.py").chmod(0o755)
    else:
        (project / "link").unlink()
        (project / "link").symlink_to("model.py")
    assert pack(project, (), LIMIT, tmp_path / "out").digest != first.digest


def test_the_archive_tells_nothing_of_user_and_machine(project: Path, tmp_path: Path) -> None:
    with tarfile.open(pack(project, (), LIMIT, tmp_path / "out").path) as archive:
        members = archive.getmembers()
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)
    }
    assert {member.mode for member in members} == {0o755, 0o644, 0o777}


def test_an_empty_folder_is_an_empty_archive(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle = pack(tmp_path / "empty", (), LIMIT, tmp_path / "out")
    assert listing(bundle.path) == []


def test_names_that_are_long_or_not_utf_8_survive(tmp_path: Path) -> None:
    project = tmp_path / "project"
    long = "/".join(["d" * 100] * 4)
    (project / long).mkdir(parents=True)
    (project / long / "ü.py").write_text("x")
    odd = os.fsdecode(b"caf\xe9.py")
    (project / odd).write_text("y")
    (project / "to-long").symlink_to(f"{long}/ü.py")
    bundle = pack(project, (), LIMIT, tmp_path / "out")
    with tarfile.open(bundle.path, encoding="utf-8", errors="surrogateescape") as archive:
        archive.extractall(tmp_path / "copy", filter="data")
    assert (tmp_path / "copy" / "to-long").read_text() == "x"
    assert (tmp_path / "copy" / odd).read_text() == "y"
    assert listing(bundle.path) == [("caf\ufffd.py", 1), (f"{long}/ü.py", 1), ("to-long", 0)]


def test_what_is_left_out_comes_with_the_bundle(project: Path, tmp_path: Path) -> None:
    bundle = pack(project, ["lib/data.bin", "link"], LIMIT, tmp_path / "out")
    assert bundle.left_out == ("lib/data.bin", "link")
    assert bundle.files == 2


def test_over_the_limit_nothing_is_written(project: Path, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match=r"lib/data\.bin"):
        pack(project, (), 1000, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_target_that_cannot_be_written_is_a_clear_error(project: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OrchestuneError, match="cannot write the bundle"):
        pack(project, (), LIMIT, tmp_path / "file" / "out")


def test_a_folder_that_changes_all_the_time_gives_a_whole_archive_or_a_clear_error(
    project: Path, tmp_path: Path
) -> None:
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.is_set():
            number += 1
            log = project / "log.txt"
            log.write_bytes(bytes(number * 7919 % 300_000))
            (project / f"new{number % 5}").mkdir(exist_ok=True)
            (project / f"new{number % 5}" / "x").write_text("x")
            shutil.rmtree(project / f"new{(number + 2) % 5}", ignore_errors=True)
            log.unlink(missing_ok=True)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(20):
            try:
                bundle = pack(project, (), LIMIT, tmp_path / "out")
            except Conflict:
                continue
            assert ("model.py", 22) in listing(bundle.path)
    finally:
        over.set()
        changing.join()
    assert not list((tmp_path / "out").glob(".bundle-*"))


def test_files_from_elsewhere_go_along_where_the_folder_has_none_of_its_own(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("ours = 1\n")
    added = dict.fromkeys(("model.py", "deep/er/__init__.py", "lib/more.py"), elsewhere)
    bundle = pack(project, (), LIMIT, tmp_path / "out", added)
    sizes = dict(listing(bundle.path))
    assert sizes["deep/er/__init__.py"] == sizes["lib/more.py"] == 9
    assert sizes["model.py"] == len("print('accuracy=0.9')\n"), "its own stays"
    assert list(sizes) == sorted(sizes) and len(sizes) == 6
    entries = plan(project, (), LIMIT, added).entries
    assert [entry.path for entry in entries if entry.kind is EntryKind.FOLDER] == ["deep", "deep/er", "lib"]
    assert bundle.digest == pack(project, (), LIMIT, tmp_path / "again", added).digest
    assert not (project / "deep").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b" + bytes(100)])
def test_listing_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadInput, match="not a complete"):
        listing(tmp_path / "x")


def test_listing_half_an_archive_is_refused(project: Path, tmp_path: Path) -> None:
    (project / "random").write_bytes(os.urandom(200_000))
    bundle = pack(project, (), LIMIT, tmp_path / "out")
    half = tmp_path / "half"
    half.write_bytes(bundle.path.read_bytes()[: bundle.size // 2])
    with pytest.raises(BadInput, match="not a complete"):
        listing(half)


def test_a_folder_that_becomes_a_link_after_it_was_listed_takes_no_files_from_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private" / "deep"
    private.mkdir(parents=True)
    (private / "notes.txt").write_text("secret")
    (project / "inner" / "deep").mkdir(parents=True)
    (project / "inner" / "deep" / "notes.txt").write_text("decoy")

    def plan_and_exchange(*arguments: Any) -> Listing:
        listed = plan(*arguments)
        (project / "inner").rename(tmp_path / "old")
        (project / "inner").symlink_to(tmp_path / "private")
        return listed

    monkeypatch.setattr("orchestune.bundles.pack.plan", plan_and_exchange)
    bundle = pack(project, [], 10**9, tmp_path / "bundles")
    with tarfile.open(bundle.path) as archive:
        names = archive.getnames()
    assert "inner/deep/notes.txt" not in names and "model.py" in names
