"""Archives crafted to be small and to unpack without an end."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from orchestune.bundles import unpack
from orchestune.bundles.unpack import archive_at, contents, members
from orchestune.errors import BadInput


def sparse_file(path: Path, kind: bytes, size: int) -> Path:
    """One header that announces so many bytes, and zeros."""
    header = tarfile.TarInfo("x")
    header.size, header.type = size, kind
    with gzip.open(path, "wb") as packed:
        packed.write(header.tobuf(tarfile.GNU_FORMAT))
        packed.write(bytes(size))
        packed.write(bytes(10240))
    return path


def test_of_an_archive_that_unpacks_to_very_much_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MAX_UNPACKED_BYTES", 10**6)
    archive = archive_at(sparse_file(tmp_path / "a", tarfile.REGTYPE, 10**6 + 1))
    for look in (lambda: members(archive), lambda: contents(archive, ["y"])):
        with pytest.raises(BadInput, match="unpacks to more than"):
            look()
    assert members(archive_at(sparse_file(tmp_path / "b", tarfile.REGTYPE, 10**6)))["x"].size == 10**6


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_what_is_told_before_a_file_is_not_read_however_long_it_is(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(BadInput, match="is longer than"):
        members(archive_at(sparse_file(tmp_path / "a", kind, 2**21)))


def test_a_file_with_holes_is_none_of_an_archive_of_code(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="sparse file"):
        members(archive_at(sparse_file(tmp_path / "a", tarfile.GNUTYPE_SPARSE, 1)))


def packed(path: Path, *blocks: bytes) -> Path:
    """A compressed archive of these blocks."""
    with gzip.open(path, "wb") as archive:
        for block in blocks:
            archive.write(block)
        archive.write(bytes(1024))
    return path


def extended(number: int, size: int, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with so many bytes about it, and an empty file that it may name."""
    text = f" {'path' if kind == tarfile.XHDTYPE else f'k{number}'}={number}/{'a' * size}\n"
    record = f"{len(text) + len(str(len(text) + 5))}{text}".encode()
    header = tarfile.TarInfo("h")
    header.type, header.size = kind, len(record)
    data = record + bytes(-len(record) % 512)
    return header.tobuf(tarfile.USTAR_FORMAT) + data + tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)


def test_an_archive_of_very_many_empty_files_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 MB of such members took 3 GB of the server."""
    monkeypatch.setattr(unpack, "_MAX_MEMBERS", 8000)
    header = tarfile.TarInfo("x").tobuf(tarfile.USTAR_FORMAT)
    within = archive_at(packed(tmp_path / "a", header * 8000))
    tracemalloc.start()
    try:
        assert list(members(within)) == ["x"]
        assert tracemalloc.get_traced_memory()[1] < 3 * 2**20
    finally:
        tracemalloc.stop()
    for look in (members, lambda archive: contents(archive, ["y"])):
        with pytest.raises(BadInput, match="more than 8,000 files"):
            look(archive_at(packed(tmp_path / "b", header * 8001)))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_long_headers_of_many_files_are_bounded_together(tmp_path: Path, kind: bytes) -> None:
    blocks = [extended(number, 999_000, kind) for number in range(40)]
    assert members(archive_at(packed(tmp_path / "a", *blocks[:30])))
    with pytest.raises(BadInput, match="all headers of the bundle are longer than 32 MiB"):
        members(archive_at(packed(tmp_path / "b", *blocks)))


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.size": "9", "GNU.sparse.offset": "0", "GNU.sparse.numbytes": "1"},
        {"GNU.sparse.map": "0,1"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
    ],
)
def test_holes_in_an_extended_header_are_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("x")
        member.pax_headers = headers
        tar.addfile(member)
    with pytest.raises(BadInput, match="sparse file"):
        members(archive_at(packed(tmp_path / "a", buffer.getvalue())))


def test_headers_of_headers_without_an_end_are_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("h")
    header.type, header.size = tarfile.XHDTYPE, 9
    block = header.tobuf(tarfile.USTAR_FORMAT) + b"9 abc=de\n" + bytes(503)
    with pytest.raises(BadInput, match="not a complete"):
        members(archive_at(packed(tmp_path / "a", block * 5000)))
