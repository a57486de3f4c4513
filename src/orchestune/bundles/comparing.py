"""What is different between two archives of code, file by file."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from orchestune.errors import BadInput

MOST_BYTES = 2**20
"""of a file whose lines are compared"""


@dataclass(frozen=True)
class Member:
    """A file or link of an archive."""

    kind: str
    """`file`, `program` (an executable file) or `link`"""
    size: int
    content: str
    """a digest of the content; of a link, its target"""


@dataclass(frozen=True)
class Change:
    """One path that is different."""

    path: str
    change: str
    """`added`, `removed`, `changed`, or `mode` where only the right to execute it is"""
    added: int | None = None
    """lines; None where it is no text, or too large"""
    removed: int | None = None
    diff: str | None = None
    """unified, as `patch` and `git apply` take it"""

    def to_json(self) -> dict[str, Any]:
        """As `diff --json` prints it."""
        return asdict(self)


def compare(old: Path | None, new: Path | None) -> list[Change]:
    """The changes from one archive to the other one, by path; None is an empty one. BadInput where it is none."""
    before, after = (_members(path) if path else {} for path in (old, new))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    old_texts, new_texts = (_texts(archive, set(paths)) if archive else {} for archive in (old, new))
    return [
        _change(path, before.get(path), after.get(path), old_texts.get(path), new_texts.get(path)) for path in paths
    ]


def _change(path: str, before: Member | None, after: Member | None, old: bytes | None, new: bytes | None) -> Change:
    if before is None or after is None:
        how = "added" if before is None else "removed"
    else:
        how = "mode" if before.content == after.content and "link" not in (before.kind, after.kind) else "changed"
    if how == "mode":
        return Change(path, how)
    old_lines, new_lines = (_lines(member, data) for member, data in ((before, old), (after, new)))
    if old_lines is None or new_lines is None:
        return Change(path, how)
    names = (f"a/{path}" if before else "/dev/null", f"b/{path}" if after else "/dev/null")
    lines = list(unified_diff(old_lines, new_lines, *names))
    added, removed = (sum(line.startswith(sign) for line in lines[2:]) for sign in "+-")
    return Change(path, how, added, removed, "".join(map(_ended, lines)))


def _lines(member: Member | None, data: bytes | None) -> list[str] | None:
    """The lines of a text, with their ends; None where it is none."""
    if member is None:
        return []
    if member.kind == "link":
        return [f"{member.content}\n"]
    if data is None or b"\0" in data:
        return None
    try:
        return re.findall(r"[^\n]*\n|[^\n]+", data.decode())  # splitlines also splits where a patch does not
    except UnicodeDecodeError:
        return None


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _members(path: Path) -> dict[str, Member]:
    found = {}
    for archive, member in _walk(path):
        if member.issym():
            found[member.name] = Member("link", 0, member.linkname)
        elif member.isreg():
            kind = "program" if member.mode & 0o100 else "file"
            found[member.name] = Member(kind, member.size, _digest(archive, member))
    return found


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source = archive.extractfile(member)
    assert source is not None
    seen = hashlib.blake2b(digest_size=20)
    while block := source.read(1 << 20):
        seen.update(block)
    return seen.hexdigest()


def _texts(path: Path, names: set[str]) -> dict[str, bytes]:
    found = {}
    for archive, member in _walk(path) if names else ():
        if member.name in names and member.isreg() and member.size <= MOST_BYTES:
            source = archive.extractfile(member)
            assert source is not None
            found[member.name] = source.read()
    return found


def _walk(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    try:
        with tarfile.open(path, "r|gz", encoding="utf-8", errors="replace") as archive:
            for member in archive:
                yield archive, member
    except (tarfile.TarError, zlib.error, EOFError) as exc:
        raise BadInput.one("the bundle is not a complete .tar.gz archive") from exc
