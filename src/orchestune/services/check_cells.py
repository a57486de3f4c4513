"""Checks of single cells in the rows of a record: types, sizes, words, forms. Pure; each returns a problem or ''.

The types come from the columns of the schema, so a new column is checked without an entry here. Columns that contain
JSON, a word of a fixed set, an id, a digest or a path are listed.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial

import msgspec
from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, String
from sqlalchemy.types import TypeEngine

from orchestune.domain import usage
from orchestune.domain.floats import as_float
from orchestune.domain.states import (
    AttemptState,
    Desired,
    ExperimentState,
    ReasonCode,
    TaskState,
    TrialState,
    WorkerState,
)
from orchestune.wire.work import UsageSample

Check = Callable[[object], str]

MAX_TEXT = 4 * 2**20  # characters of a text, JSON or not
_MAX_BRACKETS = 200_000  # lists and objects in one JSON text: bounds what it takes once it is parsed
_MAX_COMMAS = 1_000_000
_MAX_TIME = 253_402_300_799.0  # the end of the year 9999, the last that has a text
_MAX_PATH = 4096
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HANDLE = re.compile(r"[0-9a-z]+(-[0-9a-z]+)*")
_ORIGIN = re.compile(r"[0-9a-z-]+/[0-9]{1,10}")
_LABEL = re.compile(r"[A-Za-z0-9_./\-]{1,200}")
_QUOTED = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


def cell_check(table: str, column: Column[object]) -> Check:
    """Return the check of a column's cells. Its messages follow the name of the column: 'must be …'."""
    check = _SPECIAL.get((table, column.name)) or _BY_NAME.get(column.name) or _by_type(column.type, column.name)
    nullable = bool(column.nullable)
    return lambda cell: ("" if nullable else "must not be null") if cell is None else check(cell)


def _by_type(kind: TypeEngine[object], name: str) -> Check:
    if isinstance(kind, LargeBinary):
        return _base64
    if isinstance(kind, String):
        return partial(_text, kind.length or MAX_TEXT)
    if isinstance(kind, BigInteger):
        return partial(_whole, 0, 2**63 - 1)
    if isinstance(kind, Integer):
        return partial(_whole, 0, 2**31 - 1)
    assert isinstance(kind, Float), f"the schema has a new type of column: {kind}"
    return _time if name == "at" or name.endswith("_at") or name == "not_before" else _finite


def _text(limit: int, cell: object) -> str:
    if not isinstance(cell, str):
        return "must be text"
    if len(cell) > limit:
        return f"has {len(cell):,} characters (expected at most {limit:,})"
    try:
        cell.encode()
    except UnicodeEncodeError:
        return "contains half of a character, as UTF-16 has some"
    return ""


def _whole(low: int, high: int, cell: object) -> str:
    if type(cell) is not int or not low <= cell <= high:
        return f"must be a whole number from {low:,} to {high:,}"
    return ""


def _finite(cell: object) -> str:
    is_stored_exactly = type(cell) is not int or abs(cell) <= 2**53  # drivers refuse whole numbers beyond 64 bits
    return "" if is_finite(cell) and is_stored_exactly else "must be a finite number"


def is_finite(value: object) -> bool:
    """Return True for a number that a float can hold, other than true and false."""
    return type(value) in (int, float) and math.isfinite(as_float(value))


def _time(cell: object) -> str:
    fits = type(cell) in (int, float) and 0.0 <= as_float(cell) <= _MAX_TIME
    return "" if fits else "must be a time in seconds since 1970, before the year 10000"


def _base64(cell: object) -> str:
    if not isinstance(cell, str):
        return "must be base64"
    try:
        base64.b64decode(cell, validate=True)
    except (binascii.Error, ValueError):
        return "must be base64"
    return ""


def _form(pattern: re.Pattern[str], words: str, cell: object) -> str:
    return "" if isinstance(cell, str) and pattern.fullmatch(cell) else f"must be {words}"


def _one_of(words: frozenset[str], cell: object) -> str:
    if isinstance(cell, str) and cell in words:
        return ""
    return f"is {cell!r:.60} (expected {', '.join(sorted(words))})"


def _path(cell: object) -> str:
    """Refuse a path that would leave the folder it is below."""
    problem = _text(_MAX_PATH, cell)
    if problem or not isinstance(cell, str):
        return problem
    if not cell or cell.startswith("/") or "\0" in cell or {"", ".", ".."} & set(cell.split("/")):
        return f"is {cell!r:.100} (expected a relative path without '.' and '..')"
    return ""


def parsed(cell: object) -> object:
    """Return what a JSON text contains. ValueError, with the reason, if it is no JSON or too large."""
    if not isinstance(cell, str) or len(cell) > MAX_TEXT:
        raise ValueError(f"must be JSON of at most {MAX_TEXT:,} characters")
    structure = _QUOTED.sub("", cell)
    if structure.count("[") + structure.count("{") > _MAX_BRACKETS or structure.count(",") > _MAX_COMMAS:
        raise ValueError("contains too many values")
    try:
        document: object = json.loads(cell)
        cell.encode()
    except UnicodeEncodeError:
        raise ValueError("contains half of a character, as UTF-16 has some") from None
    except (ValueError, RecursionError):
        raise ValueError("must be JSON") from None
    return document


def _json(words: str, fits: Callable[[object], bool], cell: object) -> str:
    try:
        document = parsed(cell)
    except ValueError as error:
        return str(error)
    try:
        return "" if fits(document) else f"must be JSON of {words}"
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return f"must be JSON of {words}"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_reason(document: object) -> bool:
    return (
        isinstance(document, dict)
        and document["code"] in list(ReasonCode)
        and isinstance(document.get("message", ""), str)
    )


def _is_step(value: object) -> bool:
    return value is None or is_finite(value)


def _is_resumption(document: object) -> bool:
    return isinstance(document, dict) and _is_id(document["attempt"]) and _is_step(document["step"])


def _is_checkpoint(document: object) -> bool:
    return isinstance(document, dict) and _is_resumption(document) and _DIGEST.fullmatch(document["digest"]) is not None


def is_text_mapping(document: object) -> bool:
    """Return True for an object whose values are all texts."""
    return isinstance(document, dict) and all(isinstance(value, str) for value in document.values())


def _are_labels(document: object) -> bool:
    return is_text_mapping(document) and all(
        _LABEL.fullmatch(name) and len(text) <= 1000
        for name, text in document.items()  # type: ignore[attr-defined]
    )


def is_launch(document: object) -> bool:
    """Return True for what `POST /experiments` takes as `launch`."""
    if not isinstance(document, dict) or not is_text_mapping(document.get("env", {})):
        return False
    links = document.get("links", [])
    return (
        isinstance(document.get("root", ""), str | None)
        and isinstance(links, list)
        and all(isinstance(link, str) for link in links)
    )


def are_measured(document: object) -> bool:
    """Return True for values of metrics: name → {value, stddev}."""
    return isinstance(document, dict) and all(
        is_finite(measured["value"]) and _is_step(measured.get("stddev")) for measured in document.values()
    )


def _are_not_finite(document: object) -> bool:
    return isinstance(document, dict) and all(
        not math.isfinite(float(text)) and _is_step(step) for text, step in document.values()
    )


def _are_bests(document: object) -> bool:
    lists = document.values() if isinstance(document, dict) else [document]
    return all(isinstance(bests, list) and all(map(_is_step, bests)) for bests in lists)


def _are_samples(document: object) -> bool:
    try:
        return len(msgspec.convert(document, list[UsageSample])) <= 2 * usage.MOST
    except msgspec.ValidationError:
        return False


def is_value(value: object) -> bool:
    """Return True for a value that a parameter may have: text, truth or a finite number."""
    return isinstance(value, str | bool) or is_finite(value)


def _are_results(document: object) -> bool:
    return isinstance(document, list) and all(
        all(map(is_value, result["parameters"].values()))
        and result["state"] in (TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)
        and are_measured(result["metrics"])
        for result in document
    )


def _is_object(document: object) -> bool:
    return isinstance(document, dict)


def _is_list(document: object) -> bool:
    return isinstance(document, list)


_WORDS: Mapping[tuple[str, str], frozenset[str]] = {
    ("experiments", "desired"): frozenset(Desired),
    ("experiments", "state"): frozenset(state for state in ExperimentState if state.over),
    ("experiments", "ended"): frozenset(ReasonCode),
    ("trials", "state"): frozenset(state for state in TrialState if state.over),
    ("tasks", "state"): frozenset(TaskState),
    ("attempts", "state"): frozenset(state for state in AttemptState if not state.live),
    ("attempts", "ordered"): frozenset(AttemptState),
    ("workers", "state"): frozenset(WorkerState),
}
_JSON: Mapping[tuple[str, str], tuple[str, Callable[[object], bool]]] = {
    ("experiments", "specification"): ("an object", _is_object),
    ("experiments", "launch"): ("the caller's environment", is_launch),
    ("experiments", "labels"): ("labels", _are_labels),
    ("experiments", "reason"): ("a code and a message", _is_reason),
    ("experiments", "waiting"): ("a code and a message", _is_reason),
    ("experiments", "fold_bests"): ("lists of numbers", _are_bests),
    ("revisions", "specification"): ("an object", _is_object),
    ("revisions", "launch"): ("the caller's environment", is_launch),
    ("trials", "reason"): ("a code and a message", _is_reason),
    ("trials", "parameters"): ("an object", _is_object),
    ("trials", "checkpoint"): ("an attempt, a digest and a step", _is_checkpoint),
    ("tasks", "metrics"): ("values of metrics", are_measured),
    ("tasks", "checkpoint"): ("an attempt, a digest and a step", _is_checkpoint),
    ("attempts", "reason"): ("a code and a message", _is_reason),
    ("attempts", "gpus"): ("a list", _is_list),
    ("attempts", "members"): ("a list", _is_list),
    ("attempts", "resumed_from"): ("an attempt and a step", _is_resumption),
    ("attempts", "not_finite"): ("numbers that are not finite", _are_not_finite),
    ("usage", "samples"): ("samples", _are_samples),
    ("warm_starts", "results"): ("results", _are_results),
    ("workers", "gpus"): ("a list", _is_list),
    ("workers", "handle"): ("an object", _is_object),
    ("workers", "capabilities"): ("a list", _is_list),
    ("events", "data"): ("an object", _is_object),
}
_signed = partial(_whole, -(2**31), 2**31 - 1)
_identity, _sha256 = partial(_form, _ID, "an id"), partial(_form, _DIGEST, "a SHA-256 in hex")
_BY_NAME: Mapping[str, Check] = {
    "experiment": _identity,
    "attempt": _identity,
    "worker": _identity,
    "heir": _identity,
    "bundle": _sha256,
    "digest": _sha256,
}
_SPECIAL: Mapping[tuple[str, str], Check] = {
    **{key: partial(_one_of, words) for key, words in _WORDS.items()},
    **{key: partial(_json, words, fits) for key, (words, fits) in _JSON.items()},
    ("experiments", "id"): _identity,
    ("experiments", "handle"): partial(_form, _HANDLE, "a handle such as sgd-7f3a"),
    ("experiments", "name"): partial(_text, 10_000),
    ("experiments", "owner"): partial(_text, 1000),
    ("experiments", "folder"): partial(_text, 10_000),
    ("experiments", "guards"): partial(_text, 1000),
    ("experiments", "origin"): partial(_form, _ORIGIN, "a trial such as sgd-7f3a/12"),
    ("experiments", "priority"): _signed,
    ("attempts", "id"): _identity,
    ("attempts", "exit_code"): _signed,
    ("attempts", "signal"): _signed,
    ("workers", "id"): _identity,
    ("artifacts", "path"): _path,
}
