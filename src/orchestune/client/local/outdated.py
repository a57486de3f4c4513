"""Detection of an embedded server that runs outdated code, after changes of an editable install or a reinstallation."""

from __future__ import annotations

import os
from pathlib import Path

from orchestune.client.local import endpoint

REMEDY = "`orchestune doctor --restart` restarts it; running trials continue"
_PACKAGE = Path(__file__).parents[2]


def changed(state: Path, package: Path = _PACKAGE) -> str:
    """Return the first source file that is newer than the server of this state folder; empty if none is, or none runs.

    Checks every file that this user can read, which takes some milliseconds.
    """
    try:
        server_start = (state / endpoint.FILE).stat().st_mtime  # written when the server has started
    except OSError:
        return ""
    for folder, _, names in os.walk(package):  # skips folders that it cannot read
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".py") and _modified(path) > server_start:
                return os.path.relpath(path, package.parent)
    return ""


def _modified(path: str) -> float:
    """Return the modification time; 0 if the file is gone or unreadable, as during a reinstallation."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0
