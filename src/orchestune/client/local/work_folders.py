"""Work folders of trials on this machine: those of running attempts, and what ended ones have written.

`worker.files.written` creates them, and describes their layout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from orchestune.client.local.home import state_path

_WORKERS = "workers"
_RETAINED = "retained"


def written_files(environ: Mapping[str, str], attempts: Iterable[str]) -> dict[str, int]:
    """Return path and size of the files that ended attempts wrote and `keep` does not name, the largest first."""
    for attempt in attempts:
        for folder in _retained(environ):
            try:
                return {
                    str(path): int(size)
                    for path, size in json.loads((folder / f"{attempt}.json").read_text(encoding="utf-8"))
                }
            except (OSError, ValueError, TypeError):
                continue
    return {}


def locate(environ: Mapping[str, str], attempts: Iterable[str], path: str) -> Path | None:
    """Return the file `path` in the work folder of the first of these attempts that has it; None if absent."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        return None
    for attempt in attempts:
        for folder in _retained(environ):
            file = folder / attempt / path
            if file.is_file():
                return file
    return None


def _retained(environ: Mapping[str, str]) -> Iterator[Path]:
    yield from sorted((state_path(environ) / _WORKERS).glob(f"*/{_RETAINED}"))
