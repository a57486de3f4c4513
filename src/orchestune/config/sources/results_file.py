"""Files of results: CSV, JSON and JSON lines as documents, one for each result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

LARGEST = 256 * 2**20
Documents = list[Mapping[str, Any]]


class UnreadableResults(Exception):
    """The message says why, and in which line."""


def read(path: Path) -> Documents:
    """The results in the file. UnreadableResults where it is none of these, or cannot be read."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableResults(f"{path} is of no known kind; known endings: {', '.join(READERS)}")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as exc:
        raise UnreadableResults(f"{path} cannot be read: {exc.strerror}") from exc
    if len(data) > LARGEST:
        raise UnreadableResults(f"{path} is larger than {LARGEST // 2**20} MiB")
    try:
        return reader(data.decode("utf-8-sig"))
    except UnicodeDecodeError as exc:
        raise UnreadableResults(f"{path} is not UTF-8 text") from exc
    except UnreadableResults as exc:
        raise UnreadableResults(f"{path}{exc}") from exc


def _of_csv(text: str) -> Documents:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    try:
        names = [name.strip() for name in rows.fieldnames or ()]
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise UnreadableResults(f":1: the column {twice} is there twice")
        found: Documents = [{str(name).strip(): value for name, value in row.items() if name} for row in rows]
    except csv.Error as exc:
        raise UnreadableResults(f":{rows.line_num}: {exc}") from exc
    return found


def _of_json(text: str) -> Documents:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        line = f":{exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise UnreadableResults(f"{line}: is no JSON: {exc}") from exc
    if isinstance(document, dict):
        lists = [document[name] for name in ("trials", "results", "observations") if name in document]
        document = lists[0] if lists else document
    if not isinstance(document, list):
        raise UnreadableResults(": holds no list of results")
    for index, item in enumerate(document):
        if not isinstance(item, dict):
            raise UnreadableResults(f": entry {index} is no mapping from names to values")
    return document


def _of_json_lines(text: str) -> Documents:
    found: Documents = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise UnreadableResults(f":{number}: is no JSON: {exc}") from exc
        if not isinstance(item, dict):
            raise UnreadableResults(f":{number}: is no mapping from names to values")
        found.append(item)
    return found


READERS: dict[str, Callable[[str], Documents]] = {
    ".csv": _of_csv, ".json": _of_json, ".jsonl": _of_json_lines, ".ndjson": _of_json_lines,
}  # fmt: skip
"""by the ending of the file's name"""
