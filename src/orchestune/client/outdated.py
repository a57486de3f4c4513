"""Whether the embedded server began before its code was changed: an editable install, or one made anew meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from orchestune.client import endpoint

REMEDY = "`orchestune doctor --restart` starts it anew; what runs goes on"
_PACKAGE = Path(__file__).parents[1]


def changed(state: Path, package: Path = _PACKAGE) -> str:
    """The first file found that is younger than the server of this state folder; empty where none is, or none runs.

    Looks at each file: some milliseconds.
    """
    try:
        began = (state / endpoint.FILE).stat().st_mtime  # written when it answers first
    except OSError:
        return ""
    folders = [str(package)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.name.endswith(".py") and entry.stat().st_mtime > began:
                    return os.path.relpath(entry.path, package.parent)
    return ""
