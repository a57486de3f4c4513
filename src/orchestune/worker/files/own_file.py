"""Paths of files that belong to a trial alone."""

from __future__ import annotations

import os


def own_path(folder: str, path: str) -> str:
    """Return the real path of `path` in the trial's `folder`; empty if a link or `..` leads elsewhere."""
    root = os.path.realpath(folder)
    place = os.path.join(root, path)
    return place if os.path.realpath(place) == place and place.startswith(root + os.sep) else ""
