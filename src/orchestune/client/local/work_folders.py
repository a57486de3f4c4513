"""Work folders of trials on this machine: those of running attempts, and what ended ones have written.

`worker.files.written` creates them, and describes their layout.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestune.client.local.home import state_path

_WORKERS = "workers"
_RETAINED = "retained"


def written_files(environ: Mapping[str, str], attempts: Iterable[str]) -> dict[str, int]:
    """Return path and size of the files that ended attempts wrote and `keep` does not name, the largest first.

    The paths are relative to the folder in which the command ran.
    """
    for attempt in attempts:
        for retained in _retained(environ):
            folder, files = _listed(retained / f"{attempt}.json")
            if files:
                return {posixpath.relpath(path, folder or "."): size for path, size in files}
    return {}


def locate(environ: Mapping[str, str], attempts: Iterable[str], path: str) -> Path | None:
    """Return the file `path` of the first of these attempts that has it; None if absent.

    It is relative to the folder in which the command ran, or to the project.
    """
    for attempt in attempts:
        for retained in _retained(environ):
            folder, _ = _listed(retained / f"{attempt}.json")
            for place in dict.fromkeys((posixpath.normpath(posixpath.join(folder, path)), posixpath.normpath(path))):
                file = retained / attempt / place
                if place.partition("/")[0] not in ("", "..") and file.is_file():
                    return file
    return None


def _listed(path: Path) -> tuple[str, list[tuple[str, int]]]:
    """Return the folder of the command and the files of a list that a worker wrote; neither if there is no list."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return str(document["folder"]), [(str(name), int(size)) for name, size in document["files"]]
    except (OSError, ValueError, TypeError, KeyError):
        return "", []


def _retained(environ: Mapping[str, str]) -> Iterator[Path]:
    yield from sorted((state_path(environ) / _WORKERS).glob(f"*/{_RETAINED}"))
