"""A trial's checkpoint folder as one archive: a consistent copy out, and back in before the next attempt."""

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

from orchestune.worker import bundle
from orchestune.worker.api import Connection, Server
from orchestune.worker.removal import remove
from orchestune.worker.uploads import Outbox

TRIES = 10
STEP_FILE = "step"
_ENDLESS = 2.0**63


class Unsteady(Exception):
    """The folder changed during every try to copy it."""


def marks(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in the folder, as far as timestamps, sizes and identities tell."""
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
    """Make a parcel of the folder as it stood at one moment; None where it is empty or as it was at `before`.

    Unsteady where it never stood still: a program should write to another name and rename what is complete. The parcel
    tells the moment too, unless a file in the folder tells the step: the server knows of steps that came by HTTP.
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
        raise Unsteady("it changes all the time; write to another name and rename what is complete")
    told = _told(copy)
    body = {"attempt": attempt, "token": token, "step": _whole(step) if told is None else told}
    remove(copy)
    manifest = {"route": "checkpoint", "body": body, "files": [{"name": "archive", "path": "checkpoint"}]}
    outbox.seal(parcel, manifest if told is not None else {**manifest, "moment": moment})
    return parcel, seen


def _link_or_copy(source: str, target: str) -> str:
    """A second name is taken at once, however large the file; a file that is replaced by renaming stays as it was.

    Pipes and sockets are of a process, not of what it knows, and are left out.
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
            if member.islnk():  # two names of one file: the second one as a file of its own
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", path.stat().st_size
            if member.isreg():
                with open(path, "rb") as file:
                    tar.addfile(member, file)
            elif member.isdir() or member.issym():
                tar.addfile(member)


def restore(server: Server, digest: str, folder: Path) -> None:
    """Fill the folder with a checkpoint. BundleError where it is damaged, ApiError and OSError as they come."""
    work = Path(tempfile.mkdtemp(prefix=".restore-", dir=str(folder.parent)))
    connection = Connection(server)
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
    """Links to places inside become relative; those that leave the folder mean nothing elsewhere, and go."""
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
    """The step that the program itself wrote down beside its state."""
    try:
        step = float((folder / STEP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _whole(step) if math.isfinite(step) else None


def _whole(step: float | None) -> float | None:
    """As a whole number where it is one, of no more bits than a database has."""
    return int(step) if step is not None and step == int(step) and abs(step) < _ENDLESS else step
