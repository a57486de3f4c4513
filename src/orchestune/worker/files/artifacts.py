"""Selects a trial's artifacts by patterns and moves them to the outbox before the folder is reused."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from orchestune.worker.files.uploads import Outbox
from orchestune.worker.files.view import COMPILED

LISTING = 3 * 2**20
"""upper bound on the JSON that lists a trial's files, in bytes; the server accepts 4 MiB"""
_ENTRY = 150
"""bytes of that JSON per file in addition to its name: keys, digest and size"""
# Unpaired surrogates (from names that are not UTF-8), control characters and the backslash: the server rejects all
# files of a call if one path contains any of them.
_NOT_IN_PATHS = re.compile(r"[\ud800-\udfff\x00-\x1f\x7f-\x9f\\]")
_LONGEST = 2000
"""bytes of a path, which leaves room for a fold's folder in front of it within the server's limit"""


def listed(listing: str) -> list[tuple[str, Path]]:
    """Return names and files that the command listed as lines of `{"path": absolute path, "name": name}`.

    The last line of a name counts. A folder stands for all files in it. Missing files and invalid lines are skipped.
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
    """Open without blocking, since a command may have replaced the file by a pipe."""
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
    """Return the files to keep as sorted pairs: path in the trial's folder, and the file itself.

    Files that would exceed `limit` bytes in total are left out and reported to `note`. A folder stands for all files in
    it; links that leave the trial's folder are left out. `listed` are names and files, at any place, that the command
    listed itself.
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
    """Return why the server would reject the path `name` in addition to `names`; None if it accepts it."""
    if len(name.encode()) > _LONGEST:
        return f"{name[:80]}… is left out, its path is longer than {_LONGEST:,} bytes"
    if name in names:
        return f"another file that reads as {name} is left out"
    above = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in names), None)
    return f"{name} is left out, {above} is a file already" if above is not None else None


def pack(outbox: Outbox, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> Path:
    """Move the files from the folder `trial` into a parcel. Raises OSError if that fails."""
    with outbox.kept_if_sealed(f"{attempt}.artifacts") as folder:
        outbox.new(folder.name)
        _fill(outbox, folder, trial, attempt, token, chosen)
    return folder


def _fill(outbox: Outbox, folder: Path, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> None:
    root = os.path.realpath(str(trial))
    plain = [os.path.realpath(str(path)) == os.path.join(root, *name.split("/")) for name, path in chosen]
    for move in (False, True):  # files reached through links are copied before their targets are moved
        for number, (_, path) in enumerate(chosen):
            if plain[number] is move:
                (os.rename if move else shutil.copy2)(str(path), str(folder / str(number)))
    files = [{"name": str(number), "path": name} for number, (name, _) in enumerate(chosen)]
    outbox.seal(folder, {"route": "artifacts", "body": {"attempt": attempt, "token": token}, "files": files})


def _within(path: Path, root: str) -> bool:
    return (os.path.realpath(str(path)) + os.sep).startswith(root + os.sep)


def _way_out(folder: Path, path: Path, root: str) -> Path:
    """Return the link in a file's path that leaves the trial's folder."""
    below = folder
    for part in path.relative_to(folder).parts:
        below = below / part
        if not _within(below, root):
            break
    return below


def _matches(folder: Path, pattern: str, root: str) -> list[Path]:
    """Return matching files, and links to folders outside of `root` without listing their content."""
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
