"""Readers of files that hold metrics. Each takes a file's bytes in pieces, in order, and gives what they report."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from orchestune.worker import events
from orchestune.worker.metrics import Reported, Scanner, step_of

LONGEST_ROW = 64 * 1024
"""of a table, in characters: behind them a quote is taken for one that nobody closes"""
_OPEN = re.compile(r'(?:^|[,;\t\n])"(?:[^"]|"")*\Z')
"""a cell in quotes that has no end"""
MOST_BYTES = 16 * 1024 * 1024
"""of a line, or of a JSON object: a longer one reports nothing"""


class Lines:
    """A file of lines; JSON lines, as in `$ORCHESTUNE_METRICS`. Of objects within a line declared metrics are found by
    their paths: `eval.loss`, or `eval/loss`.
    """

    def __init__(self, scanner: Scanner, path: str) -> None:
        self.scanner, self.path = scanner, path
        self._half = b""

    def feed(self, data: bytes) -> list[Reported]:
        """What the lines report that are complete now."""
        lines = (self._half + data).split(b"\n")
        self._half = lines.pop()[:MOST_BYTES]
        return [found for line in lines for found in self.line(line)]

    def end(self) -> list[Reported]:
        """What a last line without an end reports."""
        rest, self._half = self._half, b""
        return self.line(rest) if rest.strip() else []

    def again(self) -> None:
        """The file is written anew."""
        self._half = b""

    def line(self, line: bytes) -> list[Reported]:
        """What one line reports."""
        return self.scanner.document(line) + (self._inner(line) if line.count(b"{") > 1 else [])

    def _inner(self, line: bytes) -> list[Reported]:
        try:
            document = json.loads(line.decode("utf-8"))
            within = list(_within(document if isinstance(document, dict) else {}, ()))
        except (ValueError, RecursionError):
            return []
        found: list[Reported] = []
        for path, value in within:
            named = [name for name in (".".join(path), "/".join(path)) if self.scanner.declared(name)]
            found += self.scanner.values({named[0]: value}, self._step(document)) if named else []
        return found

    def _step(self, document: dict[str, Any]) -> float | None:
        return step_of(document)


class Whole(Lines):
    """One JSON object, which counts once the command has ended."""

    def feed(self, data: bytes) -> list[Reported]:
        self._half = (self._half + data)[: MOST_BYTES + 1]
        return []

    def _step(self, document: dict[str, Any]) -> float | None:
        return None  # what stands within is said of the whole trial


class Table(Lines):
    """A table with a heading. Where it is written anew with more columns, rows that were read do not count twice; with
    another first row it is another table.
    """

    def __init__(self, scanner: Scanner, path: str) -> None:
        super().__init__(scanner, path)
        self._heading: list[str] = []
        self._delimiter = ","
        self._row = self._taken = 0
        self._first: dict[str, str] = {}
        """the cells of the first row that are not empty"""
        self._open: list[str] = []
        """the lines of a row so far, a cell of which goes on in the next one"""
        self._size = 0

    def again(self) -> None:
        super().again()
        self._heading, self._row, self._open = [], 0, []

    def line(self, line: bytes) -> list[Reported]:
        text = line.decode("utf-8-sig", "replace").rstrip("\r")
        if self._goes_on(text):
            return []
        text, self._open = "\n".join([*self._open, text]), []
        if not self._heading:
            self._delimiter = max(",\t;", key=text.count)
            self._heading = [name.strip() for name in self._cells(text)]
            return []
        self._row += 1
        row = {name: cell for name, cell in zip(self._heading, self._cells(text)) if cell.strip()}
        if self._row == 1:
            if any(row.get(name) != cell for name, cell in self._first.items()):
                self._taken = 0
            self._first = row
        if self._row <= self._taken:
            return []
        self._taken = self._row
        return self.scanner.texts({name: cell.encode("utf-8") for name, cell in row.items()})

    def _goes_on(self, text: str) -> bool:
        """Whether a cell of this line, or of those before it, goes on in the next one."""
        self._size = (self._size if self._open else 0) + len(text) + 1
        if self._size > LONGEST_ROW or not (self._open or '"' in text):
            return False
        if '"' in text:
            whole = "\n".join([*self._open, text])
            if whole.count('"') % 2 == 0 or not _OPEN.search(whole):
                return False
        self._open.append(text)
        return True

    def _cells(self, text: str) -> list[str]:
        try:
            return next(csv.reader([text], delimiter=self._delimiter), [])
        except csv.Error:  # an end of a line within it, or a cell of more than 128 KiB
            return []


class Events:
    """TensorBoard's events. A tag that several runs have is told from others by its run: `validation/epoch_loss`."""

    def __init__(self, scanner: Scanner, path: str, tags: dict[str, str]) -> None:
        """`tags` tells which run has a tag for itself; the files of one folder share it."""
        self._scanner, self._run, self._tags = scanner, os.path.dirname(path), tags
        self._half = b""

    def feed(self, data: bytes) -> list[Reported]:
        """The scalars of the records that are complete now; nothing more from a file that holds none."""
        if self._half is _BROKEN:
            return []
        self._half += data
        try:
            records, taken = events.records(self._half)
            scalars = [scalar for record in records for scalar in events.scalars(record)]
        except events.Malformed:
            self._half = _BROKEN
            return []
        self._half = self._half[taken:]
        return [found for scalar in scalars for found in self._named(scalar)]

    def end(self) -> list[Reported]:
        """A record that is cut off says nothing."""
        return []

    def again(self) -> None:
        """The file is written anew."""
        self._half = b""

    def _named(self, scalar: events.Scalar) -> list[Reported]:
        long = f"{self._run}/{scalar.tag}" if self._run else scalar.tag
        own = self._tags.setdefault(scalar.tag, self._run) == self._run
        name = scalar.tag if own and not self._scanner.declared(long) else long
        return self._scanner.values({name: scalar.value}, float(scalar.step))


_BROKEN = b"no events"


class Mlflow(Lines):
    """A metric of MLflow's file store: lines of time, value and step in a file with the metric's name."""

    def __init__(self, scanner: Scanner, path: str) -> None:
        super().__init__(scanner, path)
        self.name = f"/{path}".partition("/metrics/")[2]

    def line(self, line: bytes) -> list[Reported]:
        words = line.split()
        if len(words) < 2:
            return []
        value, step = _number(words[1].decode("ascii", "replace")), _number(words[-1].decode("ascii", "replace"))
        return [] if value is None else self.scanner.values({self.name: value}, step if len(words) > 2 else None)


def _within(document: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What the objects within an object have, by path."""
    for name, item in document.items():
        if above:
            yield (*above, name), item
        if isinstance(item, dict):
            yield from _within(item, (*above, name))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
