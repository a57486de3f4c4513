"""What of a folder belongs to the code: built-in defaults, ignore files, the experiment's own list."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from orchestune.bundles.patterns import Pattern, parse, parse_all, parse_file
from orchestune.bundles.secrecy import is_secret_name
from orchestune.errors import BadInput, Problem

GIT_FILE = ".gitignore"
OWN_FILE = ".orchestuneignore"
_EXCLUDE = ".git/info/exclude"
_LARGEST = 1 << 20  # bytes of an ignore file that are read; real ones have kilobytes

NEVER = frozenset((".git", ".hg", ".svn", ".orchestune"))
"""names that no pattern brings back"""
JUNK = frozenset(
    (
        *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"),
        *(".tox", ".nox", ".eggs", ".idea", ".DS_Store"),
    )
)
"""names that no trial reads: neither packed nor linked in"""
JUNK_SUFFIXES = (".pyc", ".pyo", ".swp")
MACHINE_BOUND = frozenset((".venv", "venv", "node_modules"))
"""names that hold what is tied to this machine: as secrets, they are not packed, yet a local trial finds them"""


class Verdict(Enum):
    """What happens to one path."""

    TAKEN = "taken"
    LEFT_OUT = "left out"
    """not packed; a worker on the same machine links it in"""
    JUNK = "junk"
    """not packed and never missed"""


Level = tuple[str, tuple[Pattern, ...]]
"""the folder that the patterns are relative to (`a/b/`, or empty for the top) and the patterns, strongest first"""


@dataclass(frozen=True)
class Rules:
    """The patterns that hold inside one folder.

    Later ones win: .gitignore, built-in, .orchestuneignore, the experiment file's list. (The usual `!*/` in a
    .gitignore does not mean `.venv`.) Within .gitignore and .orchestuneignore the file nearest to the path wins.
    """

    listed: tuple[Level, ...] = ()
    own: tuple[Level, ...] = ()
    git: tuple[Level, ...] = ()
    base: str = ""
    """where the root is below the top of its git repository (`project/`), to which patterns may be relative too"""

    def within(self, prefix: str, files: Mapping[str, bytes]) -> Rules:
        """The rules inside the folder `prefix`, given the contents of its ignore files by name."""
        rules, prefix = self, self.base + prefix
        if patterns := parse_file(files.get(GIT_FILE, b"")):
            rules = replace(rules, git=((prefix, patterns), *rules.git))
        if patterns := parse_file(files.get(OWN_FILE, b"")):
            rules = replace(rules, own=((prefix, patterns), *rules.own))
        return rules

    def verdict(self, path: str, name: str, is_folder: bool, is_environment: bool = False) -> Verdict:
        """What happens to `path` (relative to the root), provided that no folder above it is ignored."""
        if name in NEVER:
            return Verdict.JUNK
        path = self.base + path
        by_name = Verdict.LEFT_OUT if is_environment else _built_in(name)
        decided = _decided((*self.listed, *self.own), path, name, is_folder)
        if decided is None and by_name is Verdict.TAKEN:
            decided = _decided(self.git, path, name, is_folder)
        if decided is None or (decided and by_name is Verdict.JUNK):
            return by_name
        return Verdict.LEFT_OUT if decided else Verdict.TAKEN

    def is_asked_for(self, path: str, name: str) -> bool:
        """Return True if a pattern of the user's own takes this file (`!deploy.pem`), whatever else is against it."""
        return _decided((*self.listed, *self.own), self.base + path, name, False) is False

    def is_ignored(self, path: str, name: str, is_folder: bool) -> bool:
        """Return True if the user's patterns ignore the path, without what is built in."""
        return _decided((*self.listed, *self.own, *self.git), self.base + path, name, is_folder) is True


def rules_above(folder: str) -> Rules:
    """What the .gitignore files above a folder (its real path) say, up to the top of its git repository, and the file
    with what this copy of the repository ignores.

    Nothing where they ignore the folder itself, or there is no repository: then git says nothing of what is in it. What
    belongs to another user than this one, root and the folder's owner is passed over: anybody can write to /tmp.
    """
    owners = {os.geteuid(), 0}
    with suppress(OSError):  # the walk reports a folder that is missing or closed
        owners.add(os.stat(folder).st_uid)
    top = Path(folder)
    while not _is_owned(top / ".git", owners):
        if top == top.parent:
            return Rules()
        top = top.parent
    rules, base = _with_file(Rules(), "", top / _EXCLUDE, owners), ""
    for name in Path(folder).relative_to(top).parts:
        rules = _with_file(rules, base, top / base / GIT_FILE, owners)
        if rules.verdict(base + name, name, is_folder=True) is not Verdict.TAKEN:
            return Rules()
        base += f"{name}/"
    return replace(rules, base=base)


def _is_owned(path: Path, owners: Collection[int]) -> bool:
    try:
        return path.lstat().st_uid in owners
    except OSError:
        return False


def _with_file(rules: Rules, prefix: str, file: Path, owners: Collection[int]) -> Rules:
    with suppress(OSError):
        return rules.within(prefix, {GIT_FILE: read_ignore_file(file, owners)}) if _is_owned(file, owners) else rules
    return rules


def read_ignore_file(path: str | Path, owners: Collection[int] | None = None) -> bytes:
    """Return the lines in the first MiB of an ignore file; nothing if it is not a regular file, or belongs to none of
    `owners`. Never waits for a writer, as of a named pipe. OSError if it cannot be read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or (owners is not None and status.st_uid not in owners):
            return b""
        content = file.read(_LARGEST)
        return content if status.st_size <= _LARGEST else content[: content.rfind(b"\n") + 1]


def rules_for(ignore: Sequence[str], above: Rules) -> Rules:
    """The rules at the root, with the patterns of `code: ignore:` of the experiment file; BadInput for a wrong one."""
    problems = []
    for line in ignore:
        try:
            parse(line)
        except ValueError:
            problems.append(Problem(f"{line!r} is not a gitignore pattern", key="code.ignore"))
    if problems:
        raise BadInput(problems, hint="patterns are written as in .gitignore: data/, *.ckpt, !keep.ckpt")
    patterns = parse_all(ignore)
    return replace(above, listed=((above.base, patterns),) if patterns else ())


def _decided(levels: tuple[Level, ...], path: str, name: str, is_folder: bool) -> bool | None:
    """Whether the first level that speaks of the path ignores it; None where none does."""
    for prefix, patterns in levels:
        inner = path[len(prefix) :]
        for pattern in patterns:
            if pattern.matches(inner, name, is_folder):
                return pattern.ignores
    return None


def _built_in(name: str) -> Verdict:
    if name in JUNK or name.endswith(JUNK_SUFFIXES):
        return Verdict.JUNK
    if name in MACHINE_BOUND or is_secret_name(name):
        return Verdict.LEFT_OUT
    return Verdict.TAKEN
