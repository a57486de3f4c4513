"""Metrics in files that a command has written: tables, JSON, TensorBoard event files, MLflow folders.

If `ORCHESTUNE_DISCOVER` is set, as by `orchestune init`, the worker starts this instead of the command. It runs the
command in the same process group, then writes the metrics as JSON to the file that the variable names, also if the
command has failed or was terminated: `{name: {"kind", "where", "values"}}` with `kind` and `where` as in
`collect` of the experiment file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestune.worker.job import DISCOVER
from orchestune.worker.metrics.scanner import Declared, Scanner
from orchestune.worker.metrics.sources import Sources

_KINDS_BY_SUFFIX = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "json"}
_MAX_DEPTH = 6
_MAX_FILES = 20
_MAX_FILE_BYTES = 64 * 2**20
_MTIME_MARGIN = 0.1  # seconds: coarse timestamps of files may be older than the clock
_NOT_FOUND = 127


def main(command: Sequence[str]) -> int:
    """Run the command, then search the working directory. Return the command's exit code."""
    target, since = os.environ.pop(DISCOVER), time.time() - _MTIME_MARGIN
    try:
        process = subprocess.Popen(list(command))
    except OSError as exc:
        print(f"orchestune: cannot start {command[0]}: {exc.strerror}", file=sys.stderr)
        return _NOT_FOUND
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the worker sends it to the whole process group
    code = process.wait()
    Path(target).write_text(json.dumps(find_metrics(Path.cwd(), since)), encoding="utf-8")
    if code < 0:  # end in the same way
        with suppress(OSError):  # the action of SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def find_metrics(folder: Path, since: float) -> dict[str, dict[str, Any]]:
    """Return the metrics in files of the folder that were modified after `since` (file system time), by name."""
    metrics: dict[str, dict[str, Any]] = {}
    for source in list(dict.fromkeys(_sources(folder, since)))[:_MAX_FILES]:
        kind, where = source
        for name, value, _, _ in Sources([{"kind": kind, "where": where}], str(folder), Scanner(Declared([]))).finish():
            series = metrics.setdefault(name, {"kind": kind, "where": where, "values": []})
            if (series["kind"], series["where"]) == source:
                series["values"].append(value)
    return metrics


def _sources(folder: Path, since: float) -> Iterator[tuple[str, str]]:
    """Yield the kind and path of each source, as in `collect`."""
    for root, folders, files in os.walk(folder):
        relative = Path(root).relative_to(folder)
        folders[:] = (
            sorted(name for name in folders if not name.startswith((".", "__")))
            if len(relative.parts) < _MAX_DEPTH
            else []
        )
        for file in sorted(files):
            status = (Path(root) / file).lstat()
            if status.st_mtime < since or not 0 < status.st_size <= _MAX_FILE_BYTES:
                continue
            if "mlruns" in relative.parts:
                yield "mlflow", "/".join(relative.parts[: relative.parts.index("mlruns") + 1])
            elif "tfevents" in file and relative.parts:
                yield "tensorboard", relative.parts[0]
            elif Path(file).suffix.lower() in _KINDS_BY_SUFFIX:
                yield _KINDS_BY_SUFFIX[Path(file).suffix.lower()], str(relative / file)
