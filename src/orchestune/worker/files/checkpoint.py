"""Packs a consistent copy of a trial's checkpoint folder, and restores it before the next attempt.

A program may write to the folder at any moment, and it is not asked to stop. So the folder is copied, mostly by hard
links, between two listings of inodes, times and sizes (*marks*). If both are equal, no file was created, replaced or
resized during the copy. Afterwards the marks of the copy are compared too: a hard link shares its content with the
original, so a file that the program overwrites in place while the archive is written changes in the copy as well. In
both cases the copy is repeated, up to MAX_COPIES times.

Invariants: an archive holds the state of one instant, provided that the program replaces complete files by renaming;
the step belongs to that state, or is the last one that was reported before the copy began; and links never lead outside
of the folder, because the next attempt may run on another machine.
"""

from __future__ import annotations

import math
import os
import shutil
import stat
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestune.worker.connection.api import ServerConnection, ServerEndpoint
from orchestune.worker.files import bundle
from orchestune.worker.files.removal import remove
from orchestune.worker.files.uploads import Outbox

MAX_COPIES = 10
STEP_FILE = "step"
"""file in the folder by which the program gives the step of its checkpoint"""
_MAX_INTEGER_STEP = 2.0**63


class UnstableFolder(Exception):
    """The folder changed during each of the MAX_COPIES copies."""


def marks(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, modification time and size of all entries, to detect changes."""
    entries = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        regular = stat.S_ISREG(status.st_mode)
        times = (status.st_mtime_ns, status.st_size) if regular else (0, 0)
        entries[path.relative_to(folder).as_posix()] = (status.st_ino, *times)
    return entries


def pack(
    outbox: Outbox, folder: Path, attempt: str, token: int, step: float | None, previous: Any
) -> tuple[Path, Any] | None:
    """Pack a consistent copy of the folder; None if it is empty or unchanged since the marks in `previous`.

    Raises UnstableFolder if it kept changing: a program should write under another name and rename complete files. The
    parcel includes its time unless a file in the folder gives the step, because the server knows steps reported over
    HTTP.
    """
    with outbox.kept_if_sealed(f"{attempt}.checkpoint-{time.monotonic_ns()}") as parcel:
        return _pack(outbox, parcel, folder, attempt, token, step, previous)


def _pack(
    outbox: Outbox, parcel: Path, folder: Path, attempt: str, token: int, step: float | None, previous: Any
) -> tuple[Path, Any] | None:
    copy = parcel / "copy"
    for _ in range(MAX_COPIES):
        try:
            moment = time.monotonic()
            current = marks(folder)
            if not current or current == previous:
                return None
            outbox.new(parcel.name)
            shutil.copytree(str(folder), str(copy), symlinks=True, copy_function=_link_or_copy)
            frozen = marks(copy)
            is_stable = marks(folder) == current
            if is_stable:
                _make_links_relative(copy, folder)
                _archive(copy, parcel / "archive")
                is_stable = all(marks(copy).get(name) == mark for name, mark in frozen.items() if mark[1])
        except FileNotFoundError:
            is_stable = False
        except shutil.Error as exc:
            if not all("No such file" in str(reason) for _, _, reason in exc.args[0]):
                raise OSError(str(exc.args[0][0][2])) from exc
            is_stable = False
        except RecursionError as exc:
            raise OSError("its folders are nested too deeply") from exc
        if is_stable:
            break
        remove(parcel)
        time.sleep(0.1)
    else:
        raise UnstableFolder("the folder kept changing; write to a temporary name and rename complete files")
    file_step = _step_from_file(copy)
    body = {"attempt": attempt, "token": token, "step": _whole(step) if file_step is None else file_step}
    remove(copy)
    manifest = {"route": "checkpoint", "body": body, "files": [{"name": "archive", "path": "checkpoint"}]}
    outbox.seal(parcel, manifest if file_step is not None else {**manifest, "moment": moment})
    return parcel, current


def _link_or_copy(source: str, target: str) -> str:
    """Hard-link or copy a file. A link is instant for any size and keeps the old content if a rename replaces the file.

    Pipes and sockets hold no state and are left out.
    """
    if not stat.S_ISREG(os.lstat(source).st_mode):
        return target
    try:
        os.link(source, target, follow_symlinks=False)
        return target
    except FileNotFoundError:
        raise
    except OSError:
        return str(shutil.copy2(source, target, follow_symlinks=False))


def _archive(folder: Path, target: Path) -> None:
    with tarfile.open(str(target), "w") as tar:
        for path in sorted(folder.rglob("*")):
            member = tar.gettarinfo(str(path), path.relative_to(folder).as_posix())
            if member.islnk():  # hard link: store it as a separate file
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", path.stat().st_size
            if member.isreg():
                with open(path, "rb") as file:
                    tar.addfile(member, file)
            elif member.isdir() or member.issym():
                tar.addfile(member)


def restore(server: ServerEndpoint, digest: str, folder: Path) -> None:
    """Restore a checkpoint into the folder. Raises BundleError if it is damaged, ApiError or OSError otherwise."""
    work = Path(tempfile.mkdtemp(prefix=".restore-", dir=str(folder.parent)))
    connection = ServerConnection(server)
    try:
        connection.download(server.path(f"blobs/{digest}"), work / "archive")
        if bundle.digest_of(work / "archive") != digest:
            raise bundle.BundleError(f"checkpoint {digest[:12]} is damaged: its content does not match its digest")
        bundle.unpack(work / "archive", work / "folder", bounded=False)
        remove(folder)
        os.rename(str(work / "folder"), str(folder))
    finally:
        connection.close()
        remove(work)


def _make_links_relative(copy: Path, folder: Path) -> None:
    """Make links inside the folder relative, and remove those that leave it, as they are useless on other machines."""
    roots = {str(folder), os.path.realpath(str(folder))}
    for path in [path for path in copy.rglob("*") if path.is_symlink()]:
        target = os.readlink(str(path))
        parent = folder / path.relative_to(copy).parent
        absolute = os.path.normpath(os.path.join(str(parent), target))
        root = next((root for root in roots if absolute.startswith(root + os.sep)), None)
        path.unlink()
        if root is not None:
            inside = os.path.join(str(folder), os.path.relpath(absolute, root))
            os.symlink(os.path.relpath(inside, str(parent)), str(path))


def _step_from_file(folder: Path) -> float | None:
    """Return the step that the program wrote to STEP_FILE; None if absent or invalid."""
    try:
        step = float((folder / STEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _whole(step) if math.isfinite(step) else None


def _whole(step: float | None) -> float | None:
    """Convert an integral step to int if it fits into the 64 bits of the database."""
    return int(step) if step is not None and step == int(step) and abs(step) < _MAX_INTEGER_STEP else step
