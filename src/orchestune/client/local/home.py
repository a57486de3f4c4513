"""Location of this user's state: `$ORCHESTUNE_HOME`, or a folder according to the XDG specification."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from orchestune.client.local import write_errors
from orchestune.domain.specification.code import STATE_MARK
from orchestune.errors import UsageError
from orchestune.system.private import refuse_replaceable, require_own_folder

OWN_FOLDER = "set ORCHESTUNE_HOME to a folder of your own"
MAX_PATH_BYTES = 480
"""maximum path length of a state folder in bytes: SQLite appends suffixes and limits paths to 512"""


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all persistent state (database, logs, artifacts, running server); created if missing.

    Raises UsageError if it cannot be created, or its path is too long.
    """
    folder = create_private_folder(state_path(environ))
    _refuse_others(folder)  # again: another user may have created it, or a folder above, meanwhile
    mark(folder)
    return folder


def state_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the state folder, without creating it.

    Raises UsageError if the path is too long, or if another user could have changed its content, or can replace it.
    """
    folder = chosen_home(environ) or _base(environ) / "orchestune"
    check_length(folder, "the state folder", "set ORCHESTUNE_HOME to a folder with a shorter path")
    _refuse_others(folder)
    return folder


def _refuse_others(folder: Path) -> None:
    require_own_folder(folder, "the state folder", OWN_FOLDER)
    refuse_replaceable(folder, "the state folder", "ORCHESTUNE_HOME")


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return this user's XDG data folder, which other machines with the same home folder may see; not created."""
    text = environ.get("XDG_DATA_HOME", "")
    return (Path(text) if os.path.isabs(text) else Path(_expanded("~", environ)) / ".local/share") / "orchestune"


def mark(folder: Path) -> None:
    """Mark a state folder, so that it never counts as part of the code in an enclosing folder."""
    with suppress(OSError):  # reported elsewhere if the folder is not writable
        (folder / STATE_MARK).touch(mode=0o600)


def chosen_home(environ: Mapping[str, str]) -> Path | None:
    """Return ORCHESTUNE_HOME as an absolute path. Raises UsageError if it names the home folder of an unknown user."""
    text = environ.get("ORCHESTUNE_HOME", "").strip()
    return Path(_expanded(text, environ)).absolute() if text else None


def _base(environ: Mapping[str, str]) -> Path:
    text = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(text):  # XDG: a relative path is to be ignored
        return Path(text)
    return Path(_expanded("~", environ)) / ".local/state"


def _expanded(text: str, environ: Mapping[str, str]) -> str:
    if text == "~" or text.startswith("~/"):
        home = environ.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise UsageError("no home folder for this user (HOME is not set)", write_errors.ANOTHER)
        return home + text[1:]
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise UsageError(f"cannot expand '{text}': no such user", write_errors.ANOTHER)
    return expanded


def check_length(folder: Path, name: str, hint: str) -> None:
    """Raise UsageError if the path is too long for a database; a link's target too, since SQLite resolves links."""
    for path in (str(folder), os.path.realpath(folder)):
        size = len(os.fsencode(path))
        if size > MAX_PATH_BYTES:
            raise UsageError(
                f"path of {name} too long: {path[:60]}… has {size:,} bytes (expected at most {MAX_PATH_BYTES})", hint
            )


def create_private_folder(folder: Path) -> Path:
    """Create the folder and missing parents, for the owner only. An existing folder is left unchanged.

    Raises UsageError if that fails.
    """
    path = folder
    try:
        missing = [folder]
        while not missing[-1].parent.exists():
            missing.append(missing[-1].parent)
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        if exc.errno in write_errors.DISK_ERRORS:
            raise UsageError(*write_errors.explain_write_error(exc, path.parent)) from exc
        raise UsageError(f"cannot create the folder {folder}: {exc.strerror}", write_errors.ANOTHER) from exc
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(folder).f_flag & os.ST_RDONLY else errno.EACCES
        raise UsageError(*write_errors.explain_write_error(OSError(number, os.strerror(number)), folder))
    return folder
