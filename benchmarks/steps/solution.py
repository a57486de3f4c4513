"""The steps that a user has to do, in pieces that can be counted and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """One edit of the user's own program; without an `old` text the new one is appended."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Solution:
    """Everything between the program and its best configuration, once the tool is installed."""

    commands: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """written beside the program"""
    changes: tuple[Change, ...] = ()
    account: bool = False
    """with a service on the internet"""
    without: str = ""
    """what was asked for and is not had"""
    failure: str = ""
    """what the last command prints where trials failed, though it ends well"""

    @property
    def steps(self) -> int:
        """A line that is written, a command that is typed, an account that is made: each is one."""
        texts = [*self.files.values(), *(change.new for change in self.changes), *self.commands]
        return sum(1 for text in texts for line in text.splitlines() if line.strip()) + self.account

    def lay_out(self, folder: Path) -> None:
        """Write the files into the folder of the program, and change that. ValueError where a place is not there."""
        for name, text in self.files.items():
            (folder / name).write_text(text)
        for change in self.changes:
            before = (folder / change.file).read_text()
            if change.old and before.count(change.old) != 1:
                raise ValueError(f"{change.file} does not have once: {change.old!r}")
            after = before.replace(change.old, change.new) if change.old else before + change.new
            (folder / change.file).write_text(after)
