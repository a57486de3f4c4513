"""Inspection of archives. Workers have their own unpacker, which needs only the standard library."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from orchestune.errors import BadInput

MAX_TEXT_FILE_BYTES = 2**20
"""maximum bytes of a file that is read as text"""

MAX_UNPACKED_BYTES = 2 * 2**30
"""maximum bytes of all files of an inspected archive: small ones may unpack to any size, a GiB takes four seconds"""
_MAX_HEADER_BYTES = 2**20
"""maximum bytes of an extended header, such as a long name, which is read at once"""
_MAX_MEMBERS = 100_000
_MAX_TOTAL_HEADER_BYTES = 32 * 2**20
"""maximum bytes of all extended headers of an archive: their text stays in memory with up to 4 bytes a character"""
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip

Archive = Callable[[], BinaryIO]
"""a function that opens the archive at its beginning"""


def archive_at(path: Path) -> Archive:
    """Return the `Archive` for a local file."""
    return lambda: path.open("rb")


@dataclass(frozen=True)
class ArchiveMember:
    """A file or link of an archive."""

    kind: Literal["file", "program", "link"]
    """`program`: an executable file"""
    size: int
    content: str
    """digest of the content; for a link, its target"""


def members(archive: Archive) -> dict[str, ArchiveMember]:
    """Return all files and links by path, with replacement characters for bytes that are not UTF-8.

    Raises BadInput if the archive is invalid.
    """
    by_path = {}
    with _open(archive) as tar:
        for member in _bounded(tar):
            if member.issym():
                by_path[member.name] = ArchiveMember("link", 0, member.linkname)
            elif member.isreg():
                is_program = bool(member.mode & 0o100)
                by_path[member.name] = ArchiveMember(
                    "program" if is_program else "file", member.size, _digest(tar, member)
                )
    return by_path


def contents(archive: Archive, names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of the named files, without those above `MAX_TEXT_FILE_BYTES`."""
    by_path: dict[str, bytes] = {}
    if not names:
        return by_path
    with _open(archive) as tar:
        for member in _bounded(tar):
            if member.name in names and member.isreg() and member.size <= MAX_TEXT_FILE_BYTES:
                source = tar.extractfile(member)
                assert source is not None
                by_path[member.name] = source.read()
    return by_path


def as_text(data: bytes) -> str | None:
    """Decode as UTF-8; None if it is not text."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


class _BoundedTar(tarfile.TarFile):
    """An archive that counts the bytes of its extended headers."""

    headers = 0


class _Header(tarfile.TarInfo):
    """A tar header with bounded memory use."""

    def _proc_member(self, tar: _BoundedTar) -> tarfile.TarInfo:  # documented in tarfile as a method to override
        if self.type in _EXTENDED_HEADERS:
            if self.size > _MAX_HEADER_BYTES:
                raise BadInput.one(f"a header of the bundle is longer than {_MAX_HEADER_BYTES // 2**20} MiB")
            tar.headers += max(0, self.size)
            if tar.headers > _MAX_TOTAL_HEADER_BYTES:
                raise BadInput.one(f"all headers of the bundle are longer than {_MAX_TOTAL_HEADER_BYTES // 2**20} MiB")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_holes()
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return member

    def _refuse_holes(self, *_: object) -> None:
        raise BadInput.one("the bundle has a sparse file, which is not supported")

    # The three forms of sparse files in extended headers, whose maps tarfile reads into memory without a limit.
    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_holes


def _bounded(tar: _BoundedTar) -> Iterator[tarfile.TarInfo]:
    """Yield all members. Raises BadInput before the total size or number exceeds its maximum."""
    size = count = 0
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps each member, which takes about 1 KiB
        size += max(0, member.size)
        count += 1
        if size > MAX_UNPACKED_BYTES:
            raise BadInput.one(
                f"the bundle unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GiB: too large to inspect"
            )
        if count > _MAX_MEMBERS:
            raise BadInput.one(f"the bundle has more than {_MAX_MEMBERS:,} files and folders")
        yield member


def _digest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source = tar.extractfile(member)
    assert source is not None
    digest = hashlib.blake2b(digest_size=20)
    while block := source.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


@contextmanager
def _open(archive: Archive) -> Iterator[_BoundedTar]:
    try:
        with (
            archive() as packed,
            gzip.GzipFile(fileobj=packed) as stream,  # with mode `r|gz` each header copies up to 10 MiB
            _BoundedTar.open(fileobj=stream, mode="r|", encoding="utf-8", errors="replace", tarinfo=_Header) as tar,
        ):
            yield tar
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError, RecursionError) as exc:
        raise BadInput.one("the bundle is not a complete .tar.gz archive") from exc
