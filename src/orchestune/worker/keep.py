"""The files of a trial that become artifacts: chosen by patterns, moved to the outbox before the folder is reused."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from orchestune.worker.uploads import Outbox
from orchestune.worker.view import COMPILED

LISTING = 3 * 2**20
"""bytes of the document that lists a trial's files; the server takes 4 MiB"""
_ENTRY = 150
"""bytes of it for a file, besides its name: keys, digest and size"""
# half of a surrogate pair (of a name whose bytes are not UTF-8), control characters, the backslash: the server refuses
# all files of a call in which a path has one of them
_NOT_IN_PATHS = re.compile(r"[\ud800-\udfff\x00-\x1f\x7f-\x9f\\]")
_LONGEST = 2000
"""bytes of a path, so that it stays below the server's limit with the folder of a fold before it"""


def listed(listing: str) -> list[tuple[str, Path]]:
    """Name → file of what the command itself named: lines of `{"path": absolute path, "name": name}`, the last of each
    name. A folder stands for all files in it; what is not there any more, or is no such line, is none.
    """
    found: dict[str, Path] = {}
    try:
        with open(listing, encoding="utf-8", opener=_at_once) as file:
            lines = file.read(1 << 22).splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            found.update(_named(json.loads(line)))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return list(found.items())


def _at_once(path: str, flags: int) -> int:
    """A pipe, which a command may have made of it, is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _named(document: Any) -> dict[str, Path]:
    raw, path = str(document["name"]), Path(document["path"])
    name = "/".join(part for part in raw.split("/") if part not in ("", "."))
    if not name or raw.startswith("/") or ".." in name.split("/") or not path.is_absolute():
        return {}
    if path.is_dir():
        below = [inside for inside in sorted(path.rglob("*")) if _regular(inside)]
        return {f"{name}/{inside.relative_to(path).as_posix()}": inside for inside in below}
    return {name: path} if _regular(path) else {}


def choose(
    folder: Path,
    patterns: Iterable[str],
    limit: int,
    note: Callable[[str], None],
    listed: Iterable[tuple[str, Path]] = (),
) -> list[tuple[str, Path]]:
    """Path in the trial's folder → file, sorted; those that would exceed `limit` bytes together are left out, and
    `note` is told. A folder stands for all files in it; links that leave the trial's folder are none of its files.
    `listed`: names and files, wherever those are, which the command named itself.
    """
    root = os.path.realpath(str(folder))
    found: dict[str, Path] = dict(listed)
    outside: set[str] = set()
    for pattern in patterns:
        matches = _matches(folder, pattern, root)
        if not matches:
            note(f"keep: nothing matches {pattern}")
        for path in matches:
            if _within(path, root):
                found[path.relative_to(folder).as_posix()] = path
                continue
            name = _way_out(folder, path, root).relative_to(folder).as_posix()
            if name not in outside:
                outside.add(name)
                note(f"keep: {name} is left out, it is outside of the trial's folder")
    chosen: list[tuple[str, Path]] = []
    names: set[str] = set()
    total, listing, beyond = 0, 0, 0
    for raw, path in sorted(found.items()):
        name = _NOT_IN_PATHS.sub("\ufffd", raw)
        problem = _problem_of(name, names)
        if problem is not None:
            note(f"keep: {problem}")
            continue
        size = path.stat().st_size
        if total + size > limit:
            note(f"keep: {name} is left out, {size:,} bytes are over the limit of {limit:,} for a trial")
            continue
        listing += _ENTRY + len(json.dumps(name))
        if listing > LISTING:
            beyond += 1
            continue
        total += size
        names.add(name)
        chosen.append((name, path))
    if beyond:
        note(f"keep: {beyond:,} files are left out, a trial can keep about {len(chosen):,} of them: archive them")
    return chosen


def _problem_of(name: str, names: Collection[str]) -> str | None:
    """Return why the server would refuse the path `name` beside those in `names`; None if it takes it."""
    if len(name.encode()) > _LONGEST:
        return f"{name[:80]}… is left out, its path is longer than {_LONGEST:,} bytes"
    if name in names:
        return f"another file that reads as {name} is left out"
    above = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in names), None)
    return f"{name} is left out, {above} is a file already" if above is not None else None


def pack(outbox: Outbox, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> Path:
    """Move the files out of the folder `trial` into a parcel. OSError where the disk refuses."""
    with outbox.kept_if_sealed(f"{attempt}.artifacts") as folder:
        outbox.new(folder.name)
        _fill(outbox, folder, trial, attempt, token, chosen)
    return folder


def _fill(outbox: Outbox, folder: Path, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> None:
    root = os.path.realpath(str(trial))
    plain = [os.path.realpath(str(path)) == os.path.join(root, *name.split("/")) for name, path in chosen]
    for move in (False, True):  # what is reached through links is copied before its file is moved
        for number, (_, path) in enumerate(chosen):
            if plain[number] is move:
                (os.rename if move else shutil.copy2)(str(path), str(folder / str(number)))
    files = [{"name": str(number), "path": name} for number, (name, _) in enumerate(chosen)]
    outbox.seal(folder, {"route": "artifacts", "body": {"attempt": attempt, "token": token}, "files": files})


def _within(path: Path, root: str) -> bool:
    return (os.path.realpath(str(path)) + os.sep).startswith(root + os.sep)


def _way_out(folder: Path, path: Path, root: str) -> Path:
    """The link on the way to a file through which it leaves the trial's folder."""
    below = folder
    for part in path.relative_to(folder).parts:
        below = below / part
        if not _within(below, root):
            break
    return below


def _matches(folder: Path, pattern: str, root: str) -> list[Path]:
    """Files, and links to folders that are outside of `root`, whatever those hold."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or pattern.startswith("/"):
        return []
    found: list[Path] = []
    try:
        matches = sorted(folder.glob("/".join(parts)))
    except ValueError:  # `**.pt`, before Python 3.13
        return []
    for path in matches:
        if path.is_dir() and _within(path, root):
            found += [below for below in sorted(path.rglob("*")) if _regular(below)]
        elif path.is_dir() or _regular(path):
            found.append(path)
    return found


def _regular(path: Path) -> bool:
    if COMPILED in path.parts:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
