"""Parses files of results (CSV, JSON and JSON lines) into documents, one per result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 2**20
Documents = list[Mapping[str, Any]]


class UnreadableResults(Exception):
    """The file cannot be parsed; the message has the reason and the line."""


def read(path: Path) -> Documents:
    """Read the results of a file. Raises UnreadableResults if it cannot be read or parsed."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnreadableResults(f"unsupported file type: {path}; supported extensions: {', '.join(READERS)}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise UnreadableResults(f"cannot read {path}: {exc.strerror}") from exc
    if len(content) > MAX_BYTES:
        raise UnreadableResults(f"{path} is too large (maximum {MAX_BYTES // 2**20} MiB)")
    try:
        return reader(content.decode("utf-8-sig"))
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
        duplicate = next((name for name in names if name and names.count(name) > 1), None)
        if duplicate is not None:
            raise UnreadableResults(f":1: duplicate column '{duplicate}'")
        documents: Documents = [{str(name).strip(): value for name, value in row.items() if name} for row in rows]
    except csv.Error as exc:
        raise UnreadableResults(f":{rows.line_num}: {exc}") from exc
    return documents


def _of_json(text: str) -> Documents:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        line = f":{exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise UnreadableResults(f"{line}: not valid JSON: {exc}") from exc
    if isinstance(document, dict):
        lists = [document[name] for name in ("trials", "results", "observations") if name in document]
        document = lists[0] if lists else document
    if not isinstance(document, list):
        raise UnreadableResults(": no list of results")
    for index, item in enumerate(document):
        if not isinstance(item, dict):
            raise UnreadableResults(f": entry {index} is not a mapping from names to values")
    return document


def _of_json_lines(text: str) -> Documents:
    documents: Documents = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise UnreadableResults(f":{number}: not valid JSON: {exc}") from exc
        if not isinstance(document, dict):
            raise UnreadableResults(f":{number}: is not a mapping from names to values")
        documents.append(document)
    return documents


READERS: dict[str, Callable[[str], Documents]] = {
    ".csv": _of_csv, ".json": _of_json, ".jsonl": _of_json_lines, ".ndjson": _of_json_lines,
}  # fmt: skip
"""by file extension"""
