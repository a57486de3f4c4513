"""Rules for the files of a folder that belong to the code: built-in defaults, ignore files, the experiment's list."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from orchestune.bundles.patterns import Pattern, parse, parse_all, parse_file
from orchestune.bundles.secret_files import is_secret_name
from orchestune.errors import BadInput, Problem

GIT_FILE = ".gitignore"
OWN_FILE = ".orchestuneignore"
_EXCLUDE = ".git/info/exclude"
_MAX_FILE_BYTES = 1 << 20  # bytes of an ignore file that are read; real ones have kilobytes

NEVER = frozenset((".git", ".hg", ".svn", ".orchestune"))
"""names that no pattern can include"""
JUNK = frozenset(
    (
        *("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"),
        *(".tox", ".nox", ".eggs", ".idea", ".DS_Store"),
    )
)
"""names that no trial reads: neither packed nor linked in"""
JUNK_SUFFIXES = (".pyc", ".pyo", ".swp")
MACHINE_BOUND = frozenset((".venv", "venv", "node_modules"))
"""names of machine-specific folders: not packed, as secrets are not, but linked into trials on the same machine"""


class IgnoreVerdict(Enum):
    """Treatment of one path."""

    TAKEN = "taken"
    LEFT_OUT = "left out"
    """not packed; a worker on the same machine links to it"""
    JUNK = "junk"
    """neither packed nor linked"""


Level = tuple[str, tuple[Pattern, ...]]
"""a folder (`a/b/`, or empty for the top) and the patterns relative to it, those of highest precedence first"""


@dataclass(frozen=True)
class Rules:
    """The patterns that apply inside one folder.

    Precedence, lowest first: .gitignore, built-in, .orchestuneignore, the experiment file's list. (The usual `!*/` in a
    .gitignore is not meant to include `.venv`.) Of several .gitignore or .orchestuneignore files, the one nearest to
    the path takes precedence.
    """

    listed: tuple[Level, ...] = ()
    own: tuple[Level, ...] = ()
    git: tuple[Level, ...] = ()
    base: str = ""
    """path of the root within its git repository (`project/`), to which patterns may be relative too"""

    def within(self, prefix: str, files: Mapping[str, bytes]) -> Rules:
        """Return the rules inside the folder `prefix`, given the contents of its ignore files by name."""
        rules, prefix = self, self.base + prefix
        if patterns := parse_file(files.get(GIT_FILE, b"")):
            rules = replace(rules, git=((prefix, patterns), *rules.git))
        if patterns := parse_file(files.get(OWN_FILE, b"")):
            rules = replace(rules, own=((prefix, patterns), *rules.own))
        return rules

    def verdict(self, path: str, name: str, is_folder: bool, is_environment: bool = False) -> IgnoreVerdict:
        """Return the treatment of `path` (relative to the root), provided that no folder above it is ignored."""
        if name in NEVER:
            return IgnoreVerdict.JUNK
        path = self.base + path
        by_name = IgnoreVerdict.LEFT_OUT if is_environment else _built_in(name)
        decided = _decide((*self.listed, *self.own), path, name, is_folder)
        if decided is None and by_name is IgnoreVerdict.TAKEN:
            decided = _decide(self.git, path, name, is_folder)
        if decided is None or (decided and by_name is IgnoreVerdict.JUNK):
            return by_name
        return IgnoreVerdict.LEFT_OUT if decided else IgnoreVerdict.TAKEN

    def is_asked_for(self, path: str, name: str) -> bool:
        """Return True if one of the user's own patterns includes this file (`!deploy.pem`).

        That overrides all other rules.
        """
        return _decide((*self.listed, *self.own), self.base + path, name, False) is False

    def is_ignored(self, path: str, name: str, is_folder: bool) -> bool:
        """Return True if the user's patterns ignore the path, built-in rules aside."""
        return _decide((*self.listed, *self.own, *self.git), self.base + path, name, is_folder) is True


def rules_above(folder: str) -> Rules:
    """Return the rules of git above a folder (its real path).

    They are in the .gitignore files up to the top of its git repository, and in the repository's local exclude file.

    Returns no rules if they ignore the folder itself, or if there is no repository: git then has no rules for its
    content. Ignores files that belong to users other than this one, root and the folder's owner: any user can write to
    /tmp.
    """
    owners = {os.geteuid(), 0}
    with suppress(OSError):  # the walk reports a missing or unreadable folder
        owners.add(os.stat(folder).st_uid)
    top = Path(folder)
    while not _is_owned(top / ".git", owners):
        if top == top.parent:
            return Rules()
        top = top.parent
    rules, base = _with_file(Rules(), "", top / _EXCLUDE, owners), ""
    for name in Path(folder).relative_to(top).parts:
        rules = _with_file(rules, base, top / base / GIT_FILE, owners)
        if rules.verdict(base + name, name, is_folder=True) is not IgnoreVerdict.TAKEN:
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
    """Return the lines in the first MiB of an ignore file.

    There are none if it is not a regular file, or belongs to none of `owners`. Does not block on a named pipe. Raises
    OSError if the file cannot be read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or (owners is not None and status.st_uid not in owners):
            return b""
        content = file.read(_MAX_FILE_BYTES)
        return content if status.st_size <= _MAX_FILE_BYTES else content[: content.rfind(b"\n") + 1]


def rules_for(ignore: Sequence[str], above: Rules) -> Rules:
    """Return the rules at the root, including the patterns of `code: ignore:`; raises BadInput for an invalid one."""
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


def _decide(levels: tuple[Level, ...], path: str, name: str, is_folder: bool) -> bool | None:
    """Return True if the first level with a pattern for the path ignores it; None if no pattern matches."""
    for prefix, patterns in levels:
        relative = path[len(prefix) :]
        for pattern in patterns:
            if pattern.matches(relative, name, is_folder):
                return pattern.ignores
    return None


def _built_in(name: str) -> IgnoreVerdict:
    if name in JUNK or name.endswith(JUNK_SUFFIXES):
        return IgnoreVerdict.JUNK
    if name in MACHINE_BOUND or is_secret_name(name):
        return IgnoreVerdict.LEFT_OUT
    return IgnoreVerdict.TAKEN
