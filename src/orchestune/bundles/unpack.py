"""Looking into an archive. Workers have an unpacker of their own, which needs nothing but the standard library."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from orchestune.errors import BadInput

MOST_BYTES = 2**20
"""of a file that is read as text"""

MOST_UNPACKED = 16 * 2**30
"""bytes of all files of an archive into which somebody looks: a small one may be made to unpack without an end"""
_LONGEST_HEADER = 2**20
"""bytes of what is told before a file, such as a long name, which is read as a whole"""
_TOLD = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip

Archive = Callable[[], BinaryIO]
"""opens it anew, from its beginning"""


def archive_at(path: Path) -> Archive:
    """The archive that is a file here."""
    return lambda: path.open("rb")


@dataclass(frozen=True)
class Member:
    """A file or link of an archive."""

    kind: Literal["file", "program", "link"]
    """`file`, `program` (an executable file) or `link`"""
    size: int
    content: str
    """a digest of the content; of a link, its target"""


def members(archive: Archive) -> dict[str, Member]:
    """Every file and link by its path, which has replacement characters where it is not UTF-8. BadInput where the
    archive is none.
    """
    found = {}
    with _opened(archive) as tar:
        for member in _bounded(tar):
            if member.issym():
                found[member.name] = Member("link", 0, member.linkname)
            elif member.isreg():
                is_program = bool(member.mode & 0o100)
                found[member.name] = Member("program" if is_program else "file", member.size, _digest(tar, member))
    return found


def contents(archive: Archive, names: Collection[str]) -> dict[str, bytes]:
    """Those of the files that are named and not too large."""
    found: dict[str, bytes] = {}
    if not names:
        return found
    with _opened(archive) as tar:
        for member in _bounded(tar):
            if member.name in names and member.isreg() and member.size <= MOST_BYTES:
                source = tar.extractfile(member)
                assert source is not None
                found[member.name] = source.read()
    return found


def as_text(data: bytes) -> str | None:
    """What it says; None where it is no text."""
    if b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


class _Header(tarfile.TarInfo):
    """What stands before a file, as far as it can be read in little memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:  # made to be overridden, and described in tarfile
        if self.type in _TOLD and self.size > _LONGEST_HEADER:
            raise BadInput.one(f"a header of the bundle is longer than {_LONGEST_HEADER // 2**20} MiB")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise BadInput.one("a file of the bundle has holes, which nobody packs")
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return found


def _bounded(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Every member. BadInput before one that makes it too much."""
    size = 0
    for member in tar:
        size += member.size
        if size > MOST_UNPACKED:
            raise BadInput.one(f"the bundle unpacks to more than {MOST_UNPACKED // 2**30} GiB: nobody looks into it")
        yield member


def _digest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source = tar.extractfile(member)
    assert source is not None
    seen = hashlib.blake2b(digest_size=20)
    while block := source.read(1 << 20):
        seen.update(block)
    return seen.hexdigest()


@contextmanager
def _opened(archive: Archive) -> Iterator[tarfile.TarFile]:
    try:
        with (
            archive() as stream,
            tarfile.open(fileobj=stream, mode="r|gz", encoding="utf-8", errors="replace", tarinfo=_Header) as tar,
        ):
            yield tar
    except (tarfile.TarError, zlib.error, EOFError) as exc:
        raise BadInput.one("the bundle is not a complete .tar.gz archive") from exc
