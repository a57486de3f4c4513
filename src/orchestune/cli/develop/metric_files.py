"""Metrics in files that a run has written: tables, JSON, TensorBoard event files, MLflow folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from orchestune.domain.specification.command_channels import MetricSource
from orchestune.worker.metrics.scanner import Declared, Scanner
from orchestune.worker.metrics.sources import Sources

_KINDS_BY_SUFFIX = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".json": "json"}
_MAX_DEPTH = 6
_MAX_FILES = 20
_MAX_FILE_BYTES = 64 * 2**20


def find_metrics(folder: Path, since: float) -> dict[str, tuple[MetricSource, list[float]]]:
    """Return the metrics in files of the folder that were modified after `since` (file system time), by name."""
    metrics: dict[str, tuple[MetricSource, list[float]]] = {}
    for source in list(dict.fromkeys(_sources(folder, since)))[:_MAX_FILES]:
        for name, value, _, _ in Sources([source.to_json()], str(folder), Scanner(Declared([]))).finish():
            series = metrics.setdefault(name, (source, []))
            if series[0] == source:
                series[1].append(value)
    return metrics


def _sources(folder: Path, since: float) -> Iterator[MetricSource]:
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
                yield MetricSource("mlflow", "/".join(relative.parts[: relative.parts.index("mlruns") + 1]))
            elif "tfevents" in file and relative.parts:
                yield MetricSource("tensorboard", relative.parts[0])
            elif Path(file).suffix.lower() in _KINDS_BY_SUFFIX:
                yield MetricSource(_KINDS_BY_SUFFIX[Path(file).suffix.lower()], str(relative / file))
