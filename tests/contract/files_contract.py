"""The promises of every `FileStore`, as tests. A subclass gives the fixture `files`, an empty store."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import pytest

from orchestune.errors import BadInput, NotFound
from orchestune.ports.files import FileStore

BAD_KEYS = (
    *("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/..", "uploads/a", "uploads"),
    *("a\x00b", "a\nb", "a\\b", "a" * 513, "a/" + "b" * 300, "a\udcffb"),
)


class BreakingStream(io.RawIOBase):
    """Yields `size` bytes and then fails, as a connection does."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            raise ConnectionResetError("the sender went away")
        count = min(self._left, len(buffer))
        self._left -= count
        buffer[:count] = bytes(count)
        return count


def sha256(data: bytes) -> str:
    """The digest that `commit` wants."""
    return hashlib.sha256(data).hexdigest()


def put(files: FileStore, key: str, data: bytes) -> int:
    """Store bytes."""
    return files.put(key, io.BytesIO(data))


def content(files: FileStore, key: str) -> bytes:
    """Read an object to its end."""
    with files.open(key) as stream:
        return stream.read()


def upload(files: FileStore, name: str, data: bytes, part: int = 1000) -> None:
    """Append everything, in parts."""
    for offset in range(0, len(data), part):
        piece = data[offset : offset + part]
        assert files.append(name, offset, piece) == offset + len(piece)


class FilesContract:
    """Objects are complete or absent, calls can be repeated."""

    def test_what_was_put_is_read_back(self, files: FileStore) -> None:
        data = bytes(range(256)) * 10
        assert put(files, "blobs/ab/abc", data) == len(data)
        assert content(files, "blobs/ab/abc") == data
        assert files.size("blobs/ab/abc") == len(data)

    def test_an_empty_object_is_an_object(self, files: FileStore) -> None:
        assert put(files, "empty", b"") == 0
        assert files.size("empty") == 0
        assert content(files, "empty") == b""

    def test_a_reader_reads_in_pieces(self, files: FileStore) -> None:
        put(files, "a", b"0123456789")
        with files.open("a") as stream:
            assert [stream.read(4), stream.read(4), stream.read(4), stream.read(4)] == [b"0123", b"4567", b"89", b""]

    def test_a_reader_begins_where_it_is_told(self, files: FileStore) -> None:
        put(files, "a", b"0123456789")
        for start in (0, 1, 9, 10, 20):
            with files.open("a", start) as stream:
                assert stream.read() == b"0123456789"[start:]
        with pytest.raises(NotFound):
            files.open("missing", 4).read()

    def test_ten_megabytes_survive(self, files: FileStore) -> None:
        data = os.urandom(10_000_000)
        assert put(files, "large", data) == len(data)
        assert sha256(content(files, "large")) == sha256(data)

    def test_more_than_one_block_of_forty_megabytes_survives(self, files: FileStore) -> None:
        data = os.urandom(1 << 20) * 40
        assert put(files, "large", data) == len(data)
        assert sha256(content(files, "large")) == sha256(data)

    def test_an_object_that_exists_stays(self, files: FileStore) -> None:
        put(files, "a", b"first")
        assert put(files, "a", b"another") == 5
        assert content(files, "a") == b"first"

    def test_what_is_missing_is_not_found(self, files: FileStore) -> None:
        put(files, "a/b", b"x")
        for key in ("missing", "a", "a/c", "a/b/c"):
            assert files.size(key) is None
            with pytest.raises(NotFound, match=key):
                files.open(key).read()

    def test_deleting_can_be_repeated(self, files: FileStore) -> None:
        put(files, "a/b/c", b"x")
        put(files, "a/d", b"y")
        files.delete("a/b/c")
        files.delete("a/b/c")
        files.delete("never/was")
        assert files.size("a/b/c") is None
        assert list(files.keys("")) == ["a/d"]
        put(files, "a/b/c", b"again")
        assert content(files, "a/b/c") == b"again"

    def test_a_reader_goes_on_while_its_object_is_deleted(self, files: FileStore) -> None:
        put(files, "a", b"content")
        with files.open("a") as stream:
            files.delete("a")
            assert stream.read() == b"content"

    def test_keys_come_sorted_and_by_any_prefix(self, files: FileStore) -> None:
        keys = ["a-b", "a/1", "a/10", "a/2", "a/b/c", "ab", "é/ü"]
        for key in reversed(keys):
            put(files, key, b"x")
        assert list(files.keys("")) == sorted(keys)
        assert list(files.keys("a")) == ["a-b", "a/1", "a/10", "a/2", "a/b/c", "ab"]
        assert list(files.keys("a/")) == ["a/1", "a/10", "a/2", "a/b/c"]
        assert list(files.keys("a/1")) == ["a/1", "a/10"]
        assert list(files.keys("a/b/c")) == ["a/b/c"]
        assert list(files.keys("z")) == list(files.keys("a/b/c/d")) == list(files.keys("a/z/")) == []

    def test_unfinished_uploads_are_no_keys(self, files: FileStore) -> None:
        files.append("one", 0, b"part")
        assert list(files.keys("")) == list(files.keys("uploads")) == list(files.keys("uploads/")) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_a_bad_key_is_refused_by_every_call(self, files: FileStore, key: str) -> None:
        files.append("one", 0, b"part")
        for call in (
            lambda: put(files, key, b"x"),
            lambda: files.open(key),
            lambda: files.size(key),
            lambda: files.delete(key),
            lambda: files.commit("one", key, sha256(b"part")),
        ):
            with pytest.raises(BadInput):
                call()
        assert list(files.keys("")) == []

    @pytest.mark.parametrize("prefix", ["/", "../", "a/../", "a//"])
    def test_a_prefix_of_no_key_is_refused(self, files: FileStore, prefix: str) -> None:
        with pytest.raises(BadInput):
            list(files.keys(prefix))

    @pytest.mark.parametrize("size", [100, 3_000_000, 40_000_000])
    def test_an_interrupted_put_leaves_nothing(self, files: FileStore, size: int) -> None:
        stream: BinaryIO = io.BufferedReader(BreakingStream(size), 1 << 16)
        with pytest.raises(ConnectionResetError):
            files.put("a/b", stream)
        assert files.size("a/b") is None
        assert list(files.keys("")) == []
        assert put(files, "a/b", b"whole") == 5

    def test_putting_one_key_from_many_threads_stores_one_whole_object(self, files: FileStore) -> None:
        contents = [bytes([number]) * 200_000 for number in range(8)]
        start = threading.Barrier(len(contents))

        def run(data: bytes) -> int:
            start.wait()
            return put(files, "same/key", data)

        with ThreadPoolExecutor(len(contents)) as pool:
            assert list(pool.map(run, contents)) == [200_000] * len(contents)
        assert content(files, "same/key") in contents
        assert list(files.keys("")) == ["same/key"]

    def test_putting_and_deleting_neighbours_from_many_threads_loses_nothing(self, files: FileStore) -> None:
        def run(number: int) -> None:
            for turn in range(10):
                put(files, f"deep/er/{number}", b"x")
                if turn < 9:
                    files.delete(f"deep/er/{number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(run, range(4)))
        assert list(files.keys("deep/")) == [f"deep/er/{number}" for number in range(4)]

    def test_an_upload_in_small_parts_becomes_an_object(self, files: FileStore) -> None:
        data = os.urandom(10_500)
        upload(files, "worker-1/abc", data)
        assert files.size("blobs/x") is None
        assert files.commit("worker-1/abc", "blobs/x", sha256(data)) == len(data)
        assert content(files, "blobs/x") == data

    def test_an_upload_of_thirty_megabytes_becomes_an_object(self, files: FileStore) -> None:
        data = os.urandom(1 << 20) * 30
        upload(files, "one", data, part=4 << 20)
        assert files.commit("one", "x", sha256(data)) == len(data)
        assert sha256(content(files, "x")) == sha256(data)

    def test_a_repeated_part_is_ignored(self, files: FileStore) -> None:
        assert files.append("one", 0, b"01234") == 5
        assert files.append("one", 0, b"01234") == 5
        assert files.append("one", 0, b"01") == 5
        assert files.append("one", 5, b"56789") == 10
        assert files.append("one", 0, b"01234") == 10
        files.commit("one", "x", sha256(b"0123456789"))
        assert content(files, "x") == b"0123456789"

    def test_a_part_that_overlaps_adds_what_is_new(self, files: FileStore) -> None:
        assert files.append("one", 0, b"01234") == 5
        assert files.append("one", 3, b"3456") == 7
        files.commit("one", "x", sha256(b"0123456"))
        assert content(files, "x") == b"0123456"

    def test_uploads_that_rest_are_swept_and_objects_are_not(self, files: FileStore) -> None:
        put(files, "x", b"object")
        upload(files, "one", b"0123456789", part=5)
        files.sweep(3600.0)
        assert files.append("one", 0, b"") == 10
        files.sweep(-3600.0)
        assert files.append("one", 0, b"") == 0
        assert content(files, "x") == b"object"

    def test_a_gap_is_refused_with_the_present_size(self, files: FileStore) -> None:
        assert files.append("one", 5, b"56789") == 0
        assert files.append("one", 0, b"012") == 3
        assert files.append("one", 5, b"56789") == 3
        assert files.append("one", 3, b"34") == 5

    def test_an_empty_part_tells_how_much_is_there(self, files: FileStore) -> None:
        assert files.append("one", 0, b"") == 0
        files.append("one", 0, b"012")
        assert files.append("one", 0, b"") == 3

    def test_a_part_over_eight_mebibytes_is_refused(self, files: FileStore) -> None:
        with pytest.raises(BadInput, match="too large"):
            files.append("one", 0, bytes((8 << 20) + 1))
        assert files.append("one", 0, bytes(8 << 20)) == 8 << 20

    def test_uploads_with_like_names_do_not_mix(self, files: FileStore) -> None:
        for name in ("a", "a/0", "a/b", "ab"):
            files.append(name, 0, name.encode())
        for name in ("a", "a/0", "a/b", "ab"):
            files.commit(name, f"x/{name.replace('/', '-')}", sha256(name.encode()))
        assert content(files, "x/a") == b"a"
        assert content(files, "x/a-0") == b"a/0"

    def test_what_exists_proves_no_upload(self, files: FileStore) -> None:
        put(files, "x", b"data")
        for _ in range(2):
            with pytest.raises(NotFound):
                files.commit("one", "x", sha256(b"data"), needs_upload=True)
        files.append("one", 0, b"other")
        with pytest.raises(BadInput):
            files.commit("one", "x", sha256(b"data"), needs_upload=True)
        with pytest.raises(NotFound):
            files.commit("one", "x", sha256(b"data"), needs_upload=True)
        files.append("one", 0, b"data")
        assert files.commit("one", "x", sha256(b"data"), needs_upload=True) == 4
        for _ in range(2):
            assert files.commit("two", "empty", sha256(b""), needs_upload=True) == 0

    def test_committing_can_be_repeated(self, files: FileStore) -> None:
        files.append("one", 0, b"data")
        assert files.commit("one", "x", sha256(b"data")) == 4
        assert files.commit("one", "x", sha256(b"data")) == 4
        files.append("one", 0, b"data")
        assert files.commit("one", "x", sha256(b"data")) == 4
        assert files.append("one", 0, b"") == 0

    def test_another_content_than_the_digest_is_dropped(self, files: FileStore) -> None:
        files.append("one", 0, b"data")
        with pytest.raises(BadInput, match="one"):
            files.commit("one", "x", sha256(b"other"))
        assert files.size("x") is None
        assert files.append("one", 0, b"") == 0
        files.append("one", 0, b"other")
        assert files.commit("one", "x", sha256(b"other")) == 5

    def test_a_wrong_digest_is_refused_for_an_object_of_several_blocks(self, files: FileStore) -> None:
        data = bytes(20 << 20)
        upload(files, "one", data, part=4 << 20)
        with pytest.raises(BadInput):
            files.commit("one", "x", sha256(b"other"))
        assert files.size("x") is None

    def test_a_digest_that_is_none_is_refused_and_keeps_the_upload(self, files: FileStore) -> None:
        files.append("one", 0, b"data")
        with pytest.raises(BadInput):
            files.commit("one", "x", "abc")
        assert files.append("one", 0, b"") == 4

    def test_committing_what_was_never_sent_is_not_found(self, files: FileStore) -> None:
        with pytest.raises(NotFound):
            files.commit("one", "x", sha256(b"data"))

    def test_an_empty_file_needs_no_part(self, files: FileStore) -> None:
        assert files.commit("one", "x", sha256(b"")) == 0
        assert content(files, "x") == b""

    def test_an_aborted_upload_starts_again(self, files: FileStore) -> None:
        files.append("one", 0, b"data")
        files.abort("one")
        files.abort("one")
        assert files.append("one", 4, b"more") == 0
        assert files.append("one", 0, b"again") == 5

    def test_appending_and_committing_from_many_threads_gives_one_whole_object(self, files: FileStore) -> None:
        data = os.urandom(5000)

        def run(_: int) -> int:
            offset = 0
            while offset < len(data):
                offset = files.append("one", offset, data[offset : offset + 700])
            return offset

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(run, range(4))) == [len(data)] * 4
            commits = [pool.submit(files.commit, "one", "x", sha256(data)) for _ in range(4)]
            assert [commit.result() for commit in commits] == [len(data)] * 4
        assert content(files, "x") == data

    @pytest.mark.parametrize("name", ["", "/", "..", "a/../b", "a\x00"])
    def test_a_bad_name_of_an_upload_is_refused(self, files: FileStore, name: str) -> None:
        with pytest.raises(BadInput):
            files.append(name, 0, b"x")
        with pytest.raises(BadInput):
            files.abort(name)
