"""Packs a consistent copy of a trial's checkpoint folder, and restores it before the next attempt."""

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

TRIES = 10
STEP_FILE = "step"
_ENDLESS = 2.0**63


class UnstableFolder(Exception):
    """The folder changed during each of the TRIES copies."""


def marks(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return inode, modification time and size of all entries, to detect changes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        regular = stat.S_ISREG(about.st_mode)
        times = (about.st_mtime_ns, about.st_size) if regular else (0, 0)
        found[path.relative_to(folder).as_posix()] = (about.st_ino, *times)
    return found


def pack(
    outbox: Outbox, folder: Path, attempt: str, token: int, step: float | None, before: Any
) -> tuple[Path, Any] | None:
    """Pack a consistent copy of the folder; None if it is empty or unchanged since the marks in `before`.

    Raises Unsteady if it kept changing: a program should write under another name and rename complete files. The parcel
    includes its time unless a file in the folder gives the step, because the server knows steps reported over HTTP.
    """
    with outbox.kept_if_sealed(f"{attempt}.checkpoint-{time.monotonic_ns()}") as parcel:
        return _pack(outbox, parcel, folder, attempt, token, step, before)


def _pack(
    outbox: Outbox, parcel: Path, folder: Path, attempt: str, token: int, step: float | None, before: Any
) -> tuple[Path, Any] | None:
    copy = parcel / "copy"
    for _ in range(TRIES):
        try:
            moment = time.monotonic()
            seen = marks(folder)
            if not seen or seen == before:
                return None
            outbox.new(parcel.name)
            shutil.copytree(str(folder), str(copy), symlinks=True, copy_function=_link_or_copy)
            frozen = marks(copy)
            steady = marks(folder) == seen
            if steady:
                _straighten_links(copy, folder)
                _archive(copy, parcel / "archive")
                steady = all(marks(copy).get(name) == mark for name, mark in frozen.items() if mark[1])
        except FileNotFoundError:
            steady = False
        except shutil.Error as exc:
            if not all("No such file" in str(reason) for _, _, reason in exc.args[0]):
                raise OSError(str(exc.args[0][0][2])) from exc
            steady = False
        except RecursionError as exc:
            raise OSError("it has too many folders in folders") from exc
        if steady:
            break
        remove(parcel)
        time.sleep(0.1)
    else:
        raise UnstableFolder("it changes all the time; write to another name and rename what is complete")
    told = _told(copy)
    body = {"attempt": attempt, "token": token, "step": _whole(step) if told is None else told}
    remove(copy)
    manifest = {"route": "checkpoint", "body": body, "files": [{"name": "archive", "path": "checkpoint"}]}
    outbox.seal(parcel, manifest if told is not None else {**manifest, "moment": moment})
    return parcel, seen


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
            raise bundle.BundleError(f"checkpoint {digest[:12]} arrived damaged")
        bundle.unpack(work / "archive", work / "folder", bounded=False)
        remove(folder)
        os.rename(str(work / "folder"), str(folder))
    finally:
        connection.close()
        remove(work)


def _straighten_links(copy: Path, folder: Path) -> None:
    """Make links inside the folder relative, and remove those that leave it, as they are useless on other machines."""
    roots = {str(folder), os.path.realpath(str(folder))}
    for path in [path for path in copy.rglob("*") if path.is_symlink()]:
        target = os.readlink(str(path))
        place = folder / path.relative_to(copy).parent
        absolute = os.path.normpath(os.path.join(str(place), target))
        root = next((root for root in roots if absolute.startswith(root + os.sep)), None)
        path.unlink()
        if root is not None:
            inside = os.path.join(str(folder), os.path.relpath(absolute, root))
            os.symlink(os.path.relpath(inside, str(place)), str(path))


def _told(folder: Path) -> float | None:
    """Return the step that the program wrote to STEP_FILE; None if absent or invalid."""
    try:
        step = float((folder / STEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _whole(step) if math.isfinite(step) else None


def _whole(step: float | None) -> float | None:
    """Convert an integral step to int if it fits into the 64 bits of the database."""
    return int(step) if step is not None and step == int(step) and abs(step) < _ENDLESS else step
