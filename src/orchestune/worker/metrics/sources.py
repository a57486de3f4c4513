"""Follows metric files in the trial's folder while they grow, reading a bounded piece at a time."""

from __future__ import annotations

import glob
import os
import stat
import time
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestune.worker.metrics import formats
from orchestune.worker.metrics.scanner import Reported, Scanner

PIECE_BYTES = 1 << 20
"""bytes read from a file at once"""
COMPARED_BYTES = 4096
"""bytes at the start of a file that are compared to detect a rewrite"""
MAX_FILES = 200
"""maximum number of followed files, not counting those of declared metrics"""
SEARCH_PAUSE_FACTOR = 20
"""pause between searches for new files, as a multiple of the last search's duration: folders may hold many others"""
METRICS = "metrics"
"""the folder of an MLflow run with its metrics"""


class FollowedFile:
    """One followed file: path, parser and read position."""

    def __init__(self, path: str, reader: Any) -> None:
        self.path, self.reader, self.position = path, reader, 0
        self._start = b""
        """first bytes of the file; if they change, it was rewritten, for example with another header"""

    def read(self) -> list[Reported]:
        """Read the next piece and return its values."""
        try:
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                return []  # opening a pipe would block until a writer opens it, and a device may be endless
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.position or file.read(len(self._start)) != self._start:
                    self.position, self._start = 0, b""
                    self.reader.reset()
                file.seek(self.position)
                data = file.read(PIECE_BYTES)
                if not self.position:
                    self._start = data[:COMPARED_BYTES]
        except OSError:
            return []
        text = data[len(BOM_UTF8) :] if not self.position and data.startswith(BOM_UTF8) else data
        self.position += len(data)
        values: list[Reported] = self.reader.feed(text) if text else []
        return values

    def rest(self) -> Iterator[list[Reported]]:
        """Yield the values of the rest of the file piece by piece, once no process writes to it."""
        previous = -1
        while previous != self.position:
            previous = self.position
            yield self.read()
        yield self.reader.end()

    def finish(self) -> list[Reported]:
        """Return all remaining values at once."""
        return [value for piece in self.rest() for value in piece]


class Sources:
    """The metric files of one attempt."""

    def __init__(self, collect: Sequence[Mapping[str, Any]], folder: str, scanner: Scanner) -> None:
        self._kinds = [(str(item["kind"]), str(item["where"])) for item in collect if item["kind"] != "regex"]
        self._folder, self._scanner = folder, scanner
        self._files: dict[str, FollowedFile] = {}
        self._tags: dict[str, str] = {}
        self._next_search = 0.0

    def read(self) -> list[Reported]:
        """Return new values of the files, from at most one piece of each."""
        values: list[Reported] = []
        if time.monotonic() >= self._next_search:
            self._search()
        for file in self._files.values():
            if not isinstance(file.reader, formats.JsonFileParser):
                values += file.read()
        return values

    def rest(self) -> Iterator[list[Reported]]:
        """Yield the remaining values piece by piece, once the command has exited."""
        self._search()
        for file in self._files.values():
            yield from file.rest()

    def finish(self) -> list[Reported]:
        """Return all remaining values at once."""
        return [value for piece in self.rest() for value in piece]

    def absent(self) -> list[str]:
        """Return the configured paths without any file of their kind."""
        return [where for kind, where in self._kinds if not any(_paths(self._pattern(where), kind))]

    def _pattern(self, where: str) -> str:
        path = os.path.join(self._folder, where)
        return glob.escape(path) if os.path.exists(path) else os.path.join(glob.escape(self._folder), where)

    def _search(self) -> None:
        started = time.monotonic()
        for kind, where in self._kinds:
            start = os.path.join(self._folder, where)
            for path in _paths(self._pattern(where), kind):
                if path in self._files:
                    continue
                reader = self._reader(kind, os.path.relpath(path, start))
                if len(self._files) < MAX_FILES or self._is_declared(reader):
                    self._files[path] = FollowedFile(path, reader)
        now = time.monotonic()
        self._next_search = now + SEARCH_PAUSE_FACTOR * (now - started)

    def _is_declared(self, reader: Any) -> bool:
        """Return True if the file contains a declared metric only."""
        return isinstance(reader, formats.MlflowFileParser) and self._scanner.declared(reader.name)

    def _reader(self, kind: str, path: str) -> Any:
        if kind == "tensorboard":
            return formats.Events(self._scanner, path, self._tags)
        if kind == "mlflow":
            return formats.MlflowFileParser(
                self._scanner, path if f"/{METRICS}/" in f"/{path}" else f"{METRICS}/{path}"
            )
        return {"csv": formats.Table, "jsonl": formats.JsonLinesParser, "json": formats.JsonFileParser}[kind](
            self._scanner, path
        )


def in_order(files: list[Reported], printed: list[Reported]) -> list[Reported]:
    """Merge values from files and from the output so that the last value of a metric is its latest.

    The order between the sources is known only from the steps: a larger step comes later, and a value without a step,
    which describes the whole trial, comes after those with one. If neither has a step, the value from the file comes
    last, since it was written on purpose, while printed text may match by accident.
    """
    if not files or not printed:
        return files or printed
    last_printed, last_in_files = ({item.name: item.step for item in source} for source in (printed, files))
    later = {
        name
        for name in last_printed.keys() & last_in_files.keys()
        if _is_later(last_in_files[name], last_printed[name])
    }
    return [
        *(item for item in files if item.name not in later),
        *printed,
        *(item for item in files if item.name in later),
    ]


def _is_later(step: float | None, other: float | None) -> bool:
    return step is None or (other is not None and step > other)


def _paths(where: str, kind: str) -> Iterator[str]:
    matches = sorted(glob.glob(where, recursive=True))
    if kind not in ("tensorboard", "mlflow"):
        yield from matches
        return
    for top in matches:
        for folder, name in _files(top):
            if "tfevents" in name if kind == "tensorboard" else METRICS in _folder_names(folder, top):
                yield os.path.join(folder, name)


def _folder_names(folder: str, top: str) -> list[str]:
    """Return the names of the folders from `top` (included) to `folder`."""
    return os.path.relpath(folder, os.path.dirname(top)).split(os.sep)


def _files(top: str) -> Iterator[tuple[str, str]]:
    """Yield folder and name of all files below, at any depth; before Python 3.12 `os.walk` is recursive."""
    pending = [top]
    while pending:
        folder, folders = pending.pop(), []
        try:
            with os.scandir(folder) as children:
                entries = sorted(children, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if _is_folder(entry):
                folders += [] if entry.is_symlink() else [entry.path]
            else:
                yield folder, entry.name
        pending += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
