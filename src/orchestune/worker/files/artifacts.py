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
from orchestune.worker.files.view import BYTECODE_FOLDER

MAX_LISTING_BYTES = 3 * 2**20
"""maximum size of the JSON that lists a trial's files; the server accepts 4 MiB"""
_BYTES_PER_ENTRY = 150
"""bytes of that JSON per file in addition to its name: keys, digest and size"""
# Unpaired surrogates (from names that are not UTF-8), control characters and the backslash: the server rejects all
# files of a call if one path contains any of them.
_NOT_IN_PATHS = re.compile(r"[\ud800-\udfff\x00-\x1f\x7f-\x9f\\]")
_MAX_PATH_BYTES = 2000
"""leaves room for a fold's folder in front of the path within the server's limit"""
_MAX_NAMED = 3
"""skipped copies that a note names"""


def listed(listing: str, unchanged: Collection[str] = ()) -> list[tuple[str, Path]]:
    """Return names and files that the command listed as lines of `{"path": absolute path, "name": name}`.

    The last line of a name counts. A folder stands for all files in it but the `unchanged` ones, as for `choose`.
    Missing files and invalid lines are skipped.
    """
    files: dict[str, Path] = {}
    try:
        with open(listing, encoding="utf-8", opener=_open_without_blocking) as file:
            lines = file.read(1 << 22).splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            files.update(_listed_files(json.loads(line), unchanged))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
    return list(files.items())


def _open_without_blocking(path: str, flags: int) -> int:
    """Open without blocking, since a command may have replaced the file by a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _listed_files(document: Any, unchanged: Collection[str]) -> dict[str, Path]:
    raw, path = str(document["name"]), Path(document["path"])
    name = "/".join(part for part in raw.split("/") if part not in ("", "."))
    if not name or raw.startswith("/") or ".." in name.split("/") or not path.is_absolute():
        return {}
    if path.is_dir():
        files = [
            file for file in sorted(path.rglob("*")) if _is_regular(file) and os.path.realpath(file) not in unchanged
        ]
        return {f"{name}/{file.relative_to(path).as_posix()}": file for file in files}
    return {name: path} if _is_regular(path) else {}


def choose(
    folder: Path,
    patterns: Iterable[str],
    limit: int,
    note: Callable[[str], None],
    listed: Iterable[tuple[str, Path]] = (),
    unchanged: Collection[str] = (),
) -> list[tuple[str, Path]]:
    """Return the files to keep as sorted pairs: path in the trial's folder, and the file itself.

    Files that would exceed `limit` bytes in total are skipped and reported to `note`. A folder stands for all files in
    it; links that leave the trial's folder are skipped, and so are the `unchanged` files of the project that its bundle
    leaves out, given by their real paths: they may hold secrets. `listed` are names and files, of any folder, that the
    command listed itself.
    """
    files = {**dict(listed), **_files_by_name(folder, patterns, note, unchanged)}
    chosen: list[tuple[str, Path]] = []
    names: set[str] = set()
    total, listing, skipped = 0, 0, 0
    for raw, path in sorted(files.items()):
        name = _NOT_IN_PATHS.sub("\ufffd", raw)
        reason = _problem_of(name, names)
        if reason is not None:
            note(f"keep: {reason}")
            continue
        size = path.stat().st_size
        if total + size > limit:
            note(f"keep: skipped {name}: its {size:,} bytes exceed the limit of {limit:,} for a trial")
            continue
        listing += _BYTES_PER_ENTRY + len(json.dumps(name))
        if listing > MAX_LISTING_BYTES:
            skipped += 1
            continue
        total += size
        names.add(name)
        chosen.append((name, path))
    if skipped:
        note(f"keep: skipped {skipped:,} files: a trial can keep about {len(chosen):,}; pack them into an archive")
    return chosen


def _files_by_name(
    folder: Path, patterns: Iterable[str], note: Callable[[str], None], unchanged: Collection[str]
) -> dict[str, Path]:
    """Return the files that match the patterns, by their paths in the folder; report the skipped ones to `note`."""
    root = os.path.realpath(str(folder))
    files: dict[str, Path] = {}
    outside: set[str] = set()
    copies: set[str] = set()
    for pattern in patterns:
        matches = _matches(folder, pattern, root)
        if not matches:
            note(f"keep: no file matches {pattern}")
        for path in matches:
            if os.path.realpath(str(path)) in unchanged:
                copies.add(path.relative_to(folder).as_posix())
                continue
            if _is_within(path, root):
                files[path.relative_to(folder).as_posix()] = path
                continue
            name = _leaving_link(folder, path, root).relative_to(folder).as_posix()
            if name not in outside:
                outside.add(name)
                note(f"keep: skipped {name}: outside of the trial's folder")
    if copies:
        names = ", ".join(sorted(copies)[:_MAX_NAMED])
        more = f" and {len(copies) - _MAX_NAMED} more" if len(copies) > _MAX_NAMED else ""
        note(f"keep: skipped {names}{more}: files of the project that are not packed, unchanged by the trial")
    return files


def _problem_of(name: str, names: Collection[str]) -> str | None:
    """Return why the server would reject the path `name` in addition to `names`; None if it accepts it."""
    if len(name.encode()) > _MAX_PATH_BYTES:
        return f"skipped {name[:80]}…: its path is longer than {_MAX_PATH_BYTES:,} bytes"
    if name in names:
        return f"skipped a file: another one is kept as {name}"
    above = next((str(folder) for folder in PurePosixPath(name).parents if str(folder) in names), None)
    return f"skipped {name}: {above} is kept as a file" if above is not None else None


def pack(outbox: Outbox, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> Path:
    """Move the files from the folder `trial` into a parcel. Raises OSError if that fails."""
    with outbox.kept_if_sealed(f"{attempt}.artifacts") as folder:
        outbox.new(folder.name)
        _fill(outbox, folder, trial, attempt, token, chosen)
    return folder


def _fill(outbox: Outbox, folder: Path, trial: Path, attempt: str, token: int, chosen: list[tuple[str, Path]]) -> None:
    root = os.path.realpath(str(trial))
    is_direct = [os.path.realpath(str(path)) == os.path.join(root, *name.split("/")) for name, path in chosen]
    for move in (False, True):  # files reached through links are copied before their targets are moved
        for number, (_, path) in enumerate(chosen):
            if is_direct[number] is move:
                (os.rename if move else shutil.copy2)(str(path), str(folder / str(number)))
    files = [{"name": str(number), "path": name} for number, (name, _) in enumerate(chosen)]
    outbox.seal(folder, {"route": "artifacts", "body": {"attempt": attempt, "token": token}, "files": files})


def _is_within(path: Path, root: str) -> bool:
    return (os.path.realpath(str(path)) + os.sep).startswith(root + os.sep)


def _leaving_link(folder: Path, path: Path, root: str) -> Path:
    """Return the link in a file's path that leaves the trial's folder."""
    path_so_far = folder
    for part in path.relative_to(folder).parts:
        path_so_far = path_so_far / part
        if not _is_within(path_so_far, root):
            break
    return path_so_far


def _matches(folder: Path, pattern: str, root: str) -> list[Path]:
    """Return matching files, and links to folders outside of `root` without listing their content."""
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or pattern.startswith("/"):
        return []
    files: list[Path] = []
    try:
        matches = sorted(folder.glob("/".join(parts)))
    except ValueError:  # `**.pt`, before Python 3.13
        return []
    for path in matches:
        if path.is_dir() and _is_within(path, root):
            files += [below for below in sorted(path.rglob("*")) if _is_regular(below)]
        elif path.is_dir() or _is_regular(path):
            files.append(path)
    return files


def _is_regular(path: Path) -> bool:
    if BYTECODE_FOLDER in path.parts:
        return False
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
