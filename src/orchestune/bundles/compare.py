"""Diff of two code archives, file by file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Literal

from orchestune.bundles.unpack import MAX_TEXT_FILE_BYTES, Archive, ArchiveMember, as_text, contents, members

if TYPE_CHECKING:
    from orchestune.documents import ChangedFile

MAX_COMPARED_BYTES = 4 * MAX_TEXT_FILE_BYTES
"""bytes of all files whose lines are compared; files beyond this limit are listed without a diff"""
MAX_PAIRS = 1_000_000
"""upper bound on pairs of equal lines, one of each side, to compare for one file: about a second. Two lists of 50,000
numbers below 200 have twelve times as many.
"""


@dataclass(frozen=True)
class PathChange:
    """A path that differs."""

    path: str
    change: Literal["added", "removed", "changed", "mode"]
    """`mode`: only the executable bit differs"""
    added: int | None = None
    """lines; None if the file is not text, too large, or too repetitive"""
    removed: int | None = None
    diff: str | None = None
    """unified diff, as `patch` and `git apply` accept it"""

    def to_json(self) -> ChangedFile:
        """Return the document that `diff --json` prints."""
        return {
            "path": self.path,
            "change": self.change,
            "added": self.added,
            "removed": self.removed,
            "diff": self.diff,
        }


def compare(old: Archive | None, new: Archive | None) -> list[PathChange]:
    """Return the changes between two archives by path; None is an empty archive. Raises BadInput for an invalid one."""
    before, after = (members(archive) if archive else {} for archive in (old, new))
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    read = _select_for_diff({path: [m.size for m in (before.get(path), after.get(path)) if m] for path in paths})
    old_texts, new_texts = (contents(archive, read) if archive else {} for archive in (old, new))
    return [
        _change(path, before.get(path), after.get(path), old_texts.get(path), new_texts.get(path)) for path in paths
    ]


def _select_for_diff(sizes: Mapping[str, Sequence[int]]) -> set[str]:
    selected, remaining_bytes = set(), MAX_COMPARED_BYTES
    for path, both_sizes in sizes.items():
        if max(both_sizes) <= MAX_TEXT_FILE_BYTES and sum(both_sizes) <= remaining_bytes:
            selected.add(path)
            remaining_bytes -= sum(both_sizes)
    return selected


def _change(
    path: str, before: ArchiveMember | None, after: ArchiveMember | None, old: bytes | None, new: bytes | None
) -> PathChange:
    change: Literal["added", "removed", "changed", "mode"]
    if before is None or after is None:
        change = "added" if before is None else "removed"
    else:
        change = "mode" if before.content == after.content and "link" not in (before.kind, after.kind) else "changed"
    if change == "mode":
        return PathChange(path, change)
    old_lines, new_lines = (_lines(member, data) for member, data in ((before, old), (after, new)))
    if old_lines is None or new_lines is None or _pairs(old_lines, new_lines) > MAX_PAIRS:
        return PathChange(path, change)
    names = (f"a/{path}" if before else "/dev/null", f"b/{path}" if after else "/dev/null")
    lines = list(unified_diff(old_lines, new_lines, *names))
    added, removed = (sum(line.startswith(sign) for line in lines[2:]) for sign in "+-")
    return PathChange(path, change, added, removed, "".join(map(_with_newline, lines)))


def _pairs(old: Sequence[str], new: Sequence[str]) -> int:
    """Return the number of pairs that `unified_diff` compares; it skips lines that occur very often in a long text."""
    before, after = Counter(old), Counter(new)
    max_occurrences = len(new) // 100 + 1 if len(new) >= 200 else len(new)
    return sum(before[line] * count for line, count in after.items() if count <= max_occurrences)


def _lines(member: ArchiveMember | None, data: bytes | None) -> list[str] | None:
    """Return the lines of a text, with their line ends; None if it is not text."""
    if member is None:
        return []
    if member.kind == "link":
        return [f"{member.content}\n"]
    text = None if data is None else as_text(data)
    return None if text is None else re.findall(r"[^\n]*\n|[^\n]+", text)  # a patch splits lines only there


def _with_newline(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
