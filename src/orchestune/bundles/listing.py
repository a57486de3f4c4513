"""The contents of a folder's bundle. The walk skips ignored folders, and reads only small files, to find keys."""

from __future__ import annotations

import heapq
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from orchestune.bundles.ignore import GIT_FILE, OWN_FILE, IgnoreVerdict, Rules, read_ignore_file, rules_above, rules_for
from orchestune.bundles.secret_files import has_private_key, is_secret_name
from orchestune.domain.specification.code import ENVIRONMENT_MARKS, FETCHED, STATE_MARK
from orchestune.errors import BadInput, Problem, TooLarge
from orchestune.system.project_root import is_planted

HOW_TO_LEAVE_OUT = f"exclude what the code does not need: add its path to {OWN_FILE}, or to `ignore` under `code:`"
NOTHING: Mapping[str, Path] = MappingProxyType({})
_HYDRA_FOLDERS = ("outputs", "multirun")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class EntryKind(Enum):
    """Type of an archive member."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """An archive member. `path` is relative, `/`-separated; bytes that are not UTF-8 are surrogates."""

    path: str
    kind: EntryKind
    size: int = 0
    target: str = ""
    """target of a link: relative, and within the folder"""
    source: str = ""
    """absolute path of a file outside the folder"""


@dataclass(frozen=True)
class Listing:
    """The members of a bundle, sorted by the bytes of the path, and the paths left out."""

    folder: Path
    entries: tuple[ArchiveEntry, ...]
    left_out: tuple[str, ...]
    """existing ignored paths: only the topmost ones, without junk (`__pycache__`) and names that are not UTF-8"""
    secrets: tuple[str, ...] = ()
    """paths in `left_out` that hold secrets and match no pattern of the user"""
    outside: tuple[Problem, ...] = ()
    """symbolic links that lead out of the folder: not in the archive"""

    @property
    def files(self) -> int:
        """Number of files and links, without folders."""
        return sum(entry.kind is not EntryKind.FOLDER for entry in self.entries)

    @property
    def size(self) -> int:
        """Bytes of all files before compression."""
        return sum(entry.size for entry in self.entries)


def plan(folder: Path, ignore: Sequence[str], limit: int, added: Mapping[str, Path] = NOTHING) -> Listing:
    """List the code in `folder` as `survey` does, with at most `limit` bytes in total.

    `added`: files outside the folder, by their path in the bundle; they never replace files of the folder.

    Raises BadInput with the links that lead out of the folder (the first ones if there are very many), and TooLarge
    with the limit and the ten largest files.
    """
    listing = survey(folder, ignore, added)
    if error := unpackable(listing, limit):
        raise error
    return listing


def unpackable(listing: Listing, limit: int) -> BadInput | TooLarge | None:
    """Return the error of a listing that cannot be packed; None if it can."""
    if listing.outside:
        return BadInput.first_of(sorted(listing.outside, key=lambda problem: problem.file), _hint(listing.folder))
    return _too_large(listing, limit) if listing.size > limit else None


def survey(folder: Path, ignore: Sequence[str], added: Mapping[str, Path] = NOTHING) -> Listing:
    """List the code in `folder`, of any size.

    Raises BadInput with the unreadable files. Skips sockets, pipes, devices, files deleted meanwhile, and files that
    receive the output of this process: they would change the digest each time.
    """
    walk = _Walk(folder, os.path.realpath(folder))
    walk.run(rules_for(ignore, rules_above(walk.real)))
    if walk.problems:
        raise BadInput.first_of(sorted(walk.problems, key=lambda problem: problem.file), _hint(folder))
    walk.add(added)
    entries = tuple(sorted(walk.entries, key=lambda entry: os.fsencode(entry.path)))
    left_out, secrets = (tuple(sorted(filter(is_text, paths))) for paths in (walk.left_out, walk.secrets))
    return Listing(folder, entries, left_out, secrets, tuple(walk.outside))


def _hint(folder: Path) -> str:
    return f"run from the folder of your program: all of {readable(str(folder))} counts as its code"


def _outputs() -> frozenset[tuple[int, int]]:
    """Return device and inode number of the files that stdout and stderr are redirected to (`run > run.log`)."""
    inodes = set()
    for descriptor in (1, 2):
        with suppress(OSError):  # closed
            status = os.fstat(descriptor)
            inodes.add((status.st_dev, status.st_ino))
    return frozenset(inodes)


@dataclass
class _Walk:
    folder: Path
    real: str
    entries: list[ArchiveEntry] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    outside: list[Problem] = field(default_factory=list)
    outputs: frozenset[tuple[int, int]] = field(default_factory=_outputs)

    def run(self, rules: Rules) -> None:
        if not self.folder.is_dir():
            raise BadInput.one(f"{self.folder} is not a folder", hint="run from the folder that holds the code")
        pending = [("", rules)]
        while pending:
            pending.extend(self._visit(*pending.pop()))

    def add(self, files: Mapping[str, Path]) -> None:
        """Add files outside the folder, with the parent folders that they need."""
        paths = {entry.path for entry in self.entries}
        for path, source in files.items():
            folders = [str(parent) for parent in PurePosixPath(path).parents][:-1]
            self.entries += [ArchiveEntry(folder, EntryKind.FOLDER) for folder in folders if folder not in paths]
            paths.update(folders)
            if path not in paths:
                self.entries.append(ArchiveEntry(path, EntryKind.FILE, source.stat().st_size, source=str(source)))

    def _visit(self, prefix: str, parent_rules: Rules) -> Iterator[tuple[str, Rules]]:
        try:
            with os.scandir(os.path.join(self.folder, prefix)) as entries:
                children = list(entries)
            ignored = _ignore_files(children)
            if prefix and ignored.get(GIT_FILE) == FETCHED.encode():
                self.left_out.append(prefix[:-1])  # left out as a whole: it may hold thousands of files
                return
            if prefix:
                self.entries.append(ArchiveEntry(prefix[:-1], EntryKind.FOLDER))
            if prefix and any(child.name == STATE_MARK for child in children):
                return  # a state folder holds tokens and secrets
            rules = parent_rules.within(prefix, ignored)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as exc:
            self.problems.append(unreadable(os.path.relpath(exc.filename or self.folder, self.folder), exc))
            return
        for child in children:
            path = prefix + child.name
            folder = _leads_to_folder(child)
            verdict = rules.verdict(path, child.name, folder, folder and _is_environment(child.path))
            if verdict is IgnoreVerdict.LEFT_OUT:
                self.left_out.append(path)
                if is_secret_name(child.name) and not rules.is_ignored(path, child.name, folder):
                    self.secrets.append(path)
            elif verdict is IgnoreVerdict.TAKEN and self._take(child, path, rules):
                yield f"{path}/", rules

    def _take(self, child: os.DirEntry[str], path: str, rules: Rules) -> bool:
        """Add one path, unless it is a private key that no pattern includes. Return True for a folder to enter."""
        try:
            status = child.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                self._take_link(path, os.readlink(child.path))
        except FileNotFoundError:
            return False
        except OSError as exc:
            self.problems.append(unreadable(path, exc))
            return False
        if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in self.outputs:
            if has_private_key(child.path, status) and not rules.is_asked_for(path, child.name):
                self.left_out.append(path)
                self.secrets.append(path)
                return False
            self.entries.append(ArchiveEntry(path, EntryKind.FILE, status.st_size))
        return stat.S_ISDIR(status.st_mode)

    def _take_link(self, path: str, target: str) -> None:
        real = os.path.realpath(os.path.join(self.real, path))
        if real != self.real and not real.startswith(self.real.rstrip("/") + "/"):
            self.outside.append(
                Problem(
                    f"the symbolic link leads out of the folder, to {readable(target)}",
                    file=readable(path),
                    hint=f"copy its target into the folder, or add `/{readable(path)}` to {OWN_FILE}: "
                    "trials on this machine get a link to it",
                )
            )
            return
        parent = os.path.dirname(path)
        lexical = os.path.normpath(os.path.join(parent, target))
        if os.path.isabs(target) or lexical.split("/", 1)[0] == "..":
            target = os.path.relpath(real, os.path.realpath(os.path.join(self.real, parent)))
        self.entries.append(ArchiveEntry(path, EntryKind.LINK, target=target))


def _leads_to_folder(child: os.DirEntry[str]) -> bool:
    """Return True for a folder and, unlike git, for a link to one: users who ignore `data/` also mean a link `data`."""
    try:
        return child.is_dir()
    except OSError:
        return False


def _is_environment(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, mark)) for mark in ENVIRONMENT_MARKS) or _is_written_by_hydra(folder)


def _is_written_by_hydra(folder: str) -> bool:
    """Return True for `outputs` and `multirun` in which Hydra creates a folder for each date."""
    if os.path.basename(folder) not in _HYDRA_FOLDERS:
        return False
    with suppress(OSError):
        return any(_DATE.fullmatch(name) for name in os.listdir(folder))
    return False


def _ignore_files(children: Sequence[os.DirEntry[str]]) -> dict[str, bytes]:
    """Return the contents of a folder's ignore files, without those that any other user could create there.

    A line `!.env` would put the secrets of this user into the bundle.
    """
    contents = {}
    for child in children:
        if child.name in (GIT_FILE, OWN_FILE) and child.is_file() and not is_planted(Path(child.path)):
            with suppress(FileNotFoundError):
                contents[child.name] = read_ignore_file(child.path)
    return contents


def _too_large(listing: Listing, limit: int) -> TooLarge:
    largest = heapq.nlargest(10, listing.entries, key=lambda entry: entry.size)
    lines = [f"  {in_units(entry.size):>10}  {readable(entry.path)}" for entry in largest if entry.size]
    return TooLarge(
        f"the code in {listing.folder} is {in_units(listing.size)}, the limit is {in_units(limit)}; largest files:\n"
        + "\n".join(lines),
        hint=f"{HOW_TO_LEAVE_OUT}; or raise `limit` under `code:`",
    )


def unreadable(path: str, exc: OSError) -> Problem:
    """Return the problem for an unreadable path in the folder."""
    return Problem(
        f"cannot be read: {exc.strerror}",
        file=readable(path),
        hint=f"make it readable, or add it to {OWN_FILE}",
    )


def in_units(count: int) -> str:
    """Format bytes for people: `1.5 MiB`."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def readable(path: str) -> str:
    """Return a file name that can be printed and sent, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_text(path: str) -> bool:
    """Return True if the bytes of the path are UTF-8, so that it can be sent to a server."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
