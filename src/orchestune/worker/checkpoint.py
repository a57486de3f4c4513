"""A trial's checkpoint folder as one archive: a consistent copy out, and back in before the next attempt."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from orchestune.worker import bundle
from orchestune.worker.api import Connection, Server
from orchestune.worker.uploads import Outbox
from orchestune.worker.view import remove

TRIES = 10
STEP_FILE = "step"


class Unsteady(Exception):
    """The folder changed during every try to copy it."""


def marks(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What is in the folder, as far as timestamps, sizes and identities tell."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        found[path.relative_to(folder).as_posix()] = (about.st_ino, about.st_mtime_ns, about.st_size)
    return found


def pack(
    outbox: Outbox, folder: Path, attempt: str, token: int, step: float | None, before: Any
) -> tuple[Path, Any] | None:
    """Make a parcel of the folder as it stood at one moment; None where it is empty or as it was at `before`.

    Unsteady where it never stood still; a program that renames finished files into the folder never causes that.
    """
    for _ in range(TRIES):
        try:
            seen = marks(folder)
            if not seen or seen == before:
                return None
            parcel = outbox.new(f"{attempt}.checkpoint-{time.monotonic_ns()}")
            copy = parcel / "copy"
            shutil.copytree(str(folder), str(copy), symlinks=True)
            if marks(folder) == seen:
                break
        except FileNotFoundError:
            pass
        except shutil.Error as exc:
            if not all("No such file" in str(reason) for _, _, reason in exc.args[0]):
                raise OSError(str(exc.args[0][0][2])) from exc
        remove(parcel)
        time.sleep(0.1)
    else:
        raise Unsteady("the folder changes all the time; write to another name and rename it when it is complete")
    _straighten_links(copy, folder)
    with tarfile.open(str(parcel / "archive"), "w") as tar:
        for path in sorted(copy.rglob("*")):
            tar.add(str(path), path.relative_to(copy).as_posix(), recursive=False)
    body = {"attempt": attempt, "token": token, "step": _step(copy, step)}
    remove(copy)
    outbox.seal(parcel, {"route": "checkpoint", "body": body, "files": [{"name": "archive", "path": "checkpoint"}]})
    return parcel, seen


def restore(server: Server, digest: str, folder: Path) -> None:
    """Fill the folder with a checkpoint. BundleError where it is damaged, ApiError and OSError as they come."""
    work = Path(tempfile.mkdtemp(prefix=".restore-", dir=str(folder.parent)))
    connection = Connection(server)
    try:
        connection.download(server.path(f"blobs/{digest}"), work / "archive")
        if bundle.digest_of(work / "archive") != digest:
            raise bundle.BundleError(f"checkpoint {digest[:12]} arrived damaged")
        bundle.unpack(work / "archive", work / "folder")
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


def _step(folder: Path, seen: float | None) -> float | None:
    try:
        text = (folder / STEP_FILE).read_text(encoding="utf-8").strip()
        return int(text) if text.isdigit() else float(text)
    except (OSError, ValueError):
        return int(seen) if seen is not None and seen == int(seen) else seen
