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

PIECE = 1 << 20
"""bytes read from a file at once"""
START = 4096
"""bytes at the start of a file that are compared to detect a rewrite"""
MOST_FILES = 200
"""maximum number of followed files, not counting those of declared metrics"""
LOOK_SHARE = 20
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
                    self.reader.again()
                file.seek(self.position)
                data = file.read(PIECE)
                if not self.position:
                    self._start = data[:START]
        except OSError:
            return []
        text = data[len(BOM_UTF8) :] if not self.position and data.startswith(BOM_UTF8) else data
        self.position += len(data)
        found: list[Reported] = self.reader.feed(text) if text else []
        return found

    def rest(self) -> Iterator[list[Reported]]:
        """Yield the values of the rest of the file piece by piece, once no process writes to it."""
        before = -1
        while before != self.position:
            before = self.position
            yield self.read()
        yield self.reader.end()

    def finish(self) -> list[Reported]:
        """Return all remaining values at once."""
        return [found for piece in self.rest() for found in piece]


class Sources:
    """The metric files of one attempt."""

    def __init__(self, collect: Sequence[Mapping[str, Any]], folder: str, scanner: Scanner) -> None:
        self._kinds = [(str(item["kind"]), str(item["where"])) for item in collect if item["kind"] != "regex"]
        self._folder, self._scanner = folder, scanner
        self._files: dict[str, FollowedFile] = {}
        self._tags: dict[str, str] = {}
        self._next_look = 0.0

    def read(self) -> list[Reported]:
        """Return new values of the files, from at most one piece of each."""
        found: list[Reported] = []
        if time.monotonic() >= self._next_look:
            self._look()
        for file in self._files.values():
            if not isinstance(file.reader, formats.JsonFileParser):
                found += file.read()
        return found

    def rest(self) -> Iterator[list[Reported]]:
        """Yield the remaining values piece by piece, once the command has exited."""
        self._look()
        for file in self._files.values():
            yield from file.rest()

    def finish(self) -> list[Reported]:
        """Return all remaining values at once."""
        return [found for piece in self.rest() for found in piece]

    def absent(self) -> list[str]:
        """Return the configured paths without any file of their kind."""
        return [where for kind, where in self._kinds if not any(_paths(self._pattern(where), kind))]

    def _pattern(self, where: str) -> str:
        named = os.path.join(self._folder, where)
        return glob.escape(named) if os.path.exists(named) else os.path.join(glob.escape(self._folder), where)

    def _look(self) -> None:
        began = time.monotonic()
        for kind, where in self._kinds:
            start = os.path.join(self._folder, where)
            for path in _paths(self._pattern(where), kind):
                if path in self._files:
                    continue
                reader = self._reader(kind, os.path.relpath(path, start))
                if len(self._files) < MOST_FILES or self._is_declared(reader):
                    self._files[path] = FollowedFile(path, reader)
        now = time.monotonic()
        self._next_look = now + LOOK_SHARE * (now - began)

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
    ends, own = ({item.name: item.step for item in source} for source in (printed, files))
    late = {name for name in ends.keys() & own.keys() if _behind(own[name], ends[name])}
    return [
        *(item for item in files if item.name not in late),
        *printed,
        *(item for item in files if item.name in late),
    ]


def _behind(step: float | None, other: float | None) -> bool:
    return step is None or (other is not None and step > other)


def _paths(where: str, kind: str) -> Iterator[str]:
    found = sorted(glob.glob(where, recursive=True))
    if kind not in ("tensorboard", "mlflow"):
        yield from found
        return
    for top in found:
        for folder, name in _files(top):
            if "tfevents" in name if kind == "tensorboard" else METRICS in _way(folder, top):
                yield os.path.join(folder, name)


def _way(folder: str, top: str) -> list[str]:
    """Return the names of the folders from `top` (included) to `folder`."""
    return os.path.relpath(folder, os.path.dirname(top)).split(os.sep)


def _files(top: str) -> Iterator[tuple[str, str]]:
    """Yield folder and name of all files below, at any depth; before Python 3.12 `os.walk` is recursive."""
    waiting = [top]
    while waiting:
        folder, folders = waiting.pop(), []
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            if _is_folder(entry):
                folders += [] if entry.is_symlink() else [entry.path]
            else:
                yield folder, entry.name
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
