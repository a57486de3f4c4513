from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.errors import BadInput, NotFound, StoreUnavailable
from orchestune.files.folder import FolderFiles
from orchestune.files.keys import UPLOADS
from orchestune.ports.files import FileStore
from tests.contract.files_contract import FilesContract, content, put, sha256
from tests.testbeds.disks import small_disk

ROOT = os.geteuid() == 0


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, for limits and users that this one must not have."""
    command = [sys.executable, "-c", script, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def everything_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


class TestFolder(FilesContract):
    @pytest.fixture
    def files(self, tmp_path: Path) -> FileStore:
        return FolderFiles(tmp_path / "store")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 2) as disk:
        yield disk


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(disk: Path) -> None:
    files = FolderFiles(disk / "store")
    put(files, "kept", b"before")
    with pytest.raises(StoreUnavailable, match="no space") as caught:
        put(files, "large/one", bytes(5_000_000))
    assert "free space" in caught.value.hint
    assert everything_in(disk) == [disk / "store" / "kept"]
    assert content(files, "kept") == b"before"
    assert put(files, "small", bytes(500_000)) == 500_000


def test_an_upload_goes_on_after_the_disk_was_full(disk: Path) -> None:
    files = FolderFiles(disk / "store")
    put(files, "in the way", bytes(1_000_000))
    data = os.urandom(1_500_000)
    assert files.append("one", 0, data[:700_000]) == 700_000
    with pytest.raises(StoreUnavailable):
        files.append("one", 700_000, data[700_000:])
    assert files.append("one", 0, b"") == 700_000
    files.delete("in the way")
    assert files.append("one", 700_000, data[700_000:]) == len(data)
    assert files.commit("one", "x", sha256(data)) == len(data)


def test_a_file_size_limit_reads_as_a_full_disk_and_leaves_nothing(tmp_path: Path) -> None:
    done = run(
        """
import io, resource, sys
from pathlib import Path
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
files = FolderFiles(Path(sys.argv[1]))
for call in (lambda: files.put("a", io.BytesIO(bytes(300_000))), lambda: files.append("one", 0, bytes(300_000))):
    try:
        call()
    except StoreUnavailable as exc:
        print(exc.message, exc.hint)
""",
        tmp_path / "store",
    )
    assert done.stdout.count("no space is left") == 2, done.stderr
    assert everything_in(tmp_path) == []


def test_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    store = tmp_path / "store"
    files = FolderFiles(store)
    put(files, "a", b"content")
    for path in (tmp_path, *store.rglob("*"), store):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = run(
            """
import encodings.idna, io, os, sys
from pathlib import Path
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
files = FolderFiles(Path("store"))
print(files.open("a").read(), list(files.keys("")))
for call in (
    lambda: files.put("b", io.BytesIO(b"x")),
    lambda: files.put("c/d", io.BytesIO(b"x")),
    lambda: files.append("one", 0, b"x"),
    lambda: files.delete("a"),
):
    try:
        call()
    except StoreUnavailable as exc:
        print(exc.message, "|", exc.hint)
""",
            tmp_path,
        )
    finally:
        for path in (tmp_path, store, store / "uploads"):
            path.chmod(0o755)
    assert done.stdout.startswith("b'content' ['a']\n"), done.stderr
    assert done.stdout.count("cannot be written: Permission denied | make it writable") == 4, done.stderr
    assert everything_in(tmp_path) == [store / "a"]


def test_a_folder_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    store = tmp_path / "store"
    put(FolderFiles(store), "a/b", b"content")
    store.chmod(0o000)
    try:
        done = run(
            """
import encodings.idna, os, sys
from pathlib import Path
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
files = FolderFiles(Path("store"))
for call in (lambda: files.open("a/b"), lambda: files.size("a/b"), lambda: list(files.keys("a/"))):
    try:
        call()
    except StoreUnavailable as exc:
        print(exc.message, "|", exc.hint)
""",
            tmp_path,
        )
    finally:
        store.chmod(0o755)
    assert done.stdout.count("store cannot be read: Permission denied | make it readable") == 3, done.stderr


def test_a_root_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        put(FolderFiles(tmp_path / "file" / "store"), "a", b"x")


def test_a_key_below_another_object_is_refused(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path)
    put(files, "a", b"x")
    put(files, "b/c", b"x")
    for key in ("a/b", "a/b/c", "b"):
        with pytest.raises(BadInput, match="extends an existing key"):
            put(files, key, b"y")
    assert list(files.keys("")) == ["a", "b/c"]


def test_a_killed_put_is_absent_and_swept_by_the_next_put(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from orchestune.files.folder import FolderFiles;"
        "FolderFiles(Path(sys.argv[1])).put('a/b', sys.stdin.buffer)"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdin=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(bytes(4 << 20))  # returns once all but a pipe's length was read, so the file is there
        process.stdin.flush()
        assert len(everything_in(tmp_path)) == 1
        put(FolderFiles(tmp_path), "other", b"x")
        assert len(everything_in(tmp_path)) == 2, "the file of a living writer stays"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    files = FolderFiles(tmp_path)
    put(files, "another", b"x")
    assert everything_in(tmp_path) == [tmp_path / "another", tmp_path / "other"]
    assert files.size("a/b") is None


def test_an_archive_of_somebody_else_removes_nothing_elsewhere(tmp_path: Path) -> None:
    archive, precious = tmp_path / "archive", tmp_path / "precious" / ".tmp-work"
    precious.parent.mkdir()
    precious.touch()
    archive.mkdir()
    (archive / "uploads").symlink_to(precious.parent)
    assert (archive / UPLOADS).exists()
    files = FolderFiles(archive)
    assert precious.exists()
    put(files, "a", b"x")
    assert precious.exists()


@pytest.mark.timeout(60)
def test_neither_a_pipe_nor_a_link_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    files = FolderFiles(tmp_path / "store")
    put(files, "a/object", b"x")
    os.mkfifo(tmp_path / "store" / "a" / "pipe")
    (tmp_path / "store" / "a" / "link").symlink_to(tmp_path / "secret")
    for key in ("a/pipe", "a/link", "a"):
        assert files.size(key) is None
        with pytest.raises(NotFound):
            files.open(key)


def test_processes_that_append_to_one_upload_make_one_whole_object(tmp_path: Path) -> None:
    data = bytes(range(256)) * 800
    script = """
import hashlib, sys
from pathlib import Path
from orchestune.files.folder import FolderFiles
files, data, offset = FolderFiles(Path(sys.argv[1])), bytes(range(256)) * 800, 0
while offset < len(data):
    offset = files.append("one", offset, data[offset : offset + int(sys.argv[2])])
print(offset)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [
        subprocess.Popen([*command, str(part)], stdout=subprocess.PIPE, text=True) for part in (701, 1000, 4096)
    ]
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [str(len(data))] * 3
    files = FolderFiles(tmp_path)
    assert files.commit("one", "x", sha256(data)) == len(data)
    assert content(files, "x") == data


def test_an_upload_that_was_published_and_not_yet_removed_cannot_change_its_object(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path)
    files.append("one", 0, b"data")
    (part,) = everything_in(tmp_path)
    os.link(part, tmp_path / "x")  # where a kill between the two steps of `commit` leaves it
    assert files.append("one", 4, b"more") == 0
    assert content(files, "x") == b"data"
    assert files.commit("one", "x", sha256(b"data")) == 4


def test_nobody_else_can_read_what_is_stored(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "store")
    files.put("a/b", io.BytesIO(b"x"))
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "store").rglob("*")}
    assert modes == {0o600, 0o700}
