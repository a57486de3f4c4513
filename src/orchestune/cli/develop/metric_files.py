"""Files that a run has left which hold metrics: tables, JSON, event files of TensorBoard, the folder of MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from orchestune.domain.specification.command_channels import MetricSource
from orchestune.worker.metrics.scanner import Declared, Scanner
from orchestune.worker.metrics.sources import Sources

_BY_ENDING = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "json"}
_DEEPEST = 6
_MOST = 20
_LARGEST = 64 * 2**20


def found(folder: Path, since: float) -> dict[str, tuple[MetricSource, list[float]]]:
    """The metrics in files of the folder that were written `since` then (as files tell the time), by name."""
    metrics: dict[str, tuple[MetricSource, list[float]]] = {}
    for source in list(dict.fromkeys(_sources(folder, since)))[:_MOST]:
        for name, value, _, _ in Sources([source.to_json()], str(folder), Scanner(Declared([]))).finish():
            known = metrics.setdefault(name, (source, []))
            if known[0] == source:
                known[1].append(value)
    return metrics


def _sources(folder: Path, since: float) -> Iterator[MetricSource]:
    for root, folders, files in os.walk(folder):
        here = Path(root).relative_to(folder)
        folders[:] = (
            sorted(one for one in folders if not one.startswith((".", "__"))) if len(here.parts) < _DEEPEST else []
        )
        for file in sorted(files):
            status = (Path(root) / file).lstat()
            if status.st_mtime < since or not 0 < status.st_size <= _LARGEST:
                continue
            if "mlruns" in here.parts:
                yield MetricSource("mlflow", "/".join(here.parts[: here.parts.index("mlruns") + 1]))
            elif "tfevents" in file and here.parts:
                yield MetricSource("tensorboard", here.parts[0])
            elif Path(file).suffix.lower() in _BY_ENDING:
                yield MetricSource(_BY_ENDING[Path(file).suffix.lower()], str(here / file))
