"""Detection of an embedded server that runs outdated code, after changes of an editable install or a reinstallation."""

from __future__ import annotations

import os
from pathlib import Path

from orchestune.client.local import endpoint

REMEDY = "`orchestune doctor --restart` restarts it; running trials continue"
_PACKAGE = Path(__file__).parents[2]


def changed(state: Path, package: Path = _PACKAGE) -> str:
    """Return the first source file that is newer than the server of this state folder; empty if none is, or none runs.

    Checks every file, which takes some milliseconds.
    """
    try:
        server_start = (state / endpoint.FILE).stat().st_mtime  # written when the server has started
    except OSError:
        return ""
    folders = [str(package)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.endswith(".py") and entry.stat().st_mtime > server_start:
                    return os.path.relpath(entry.path, package.parent)
    return ""
