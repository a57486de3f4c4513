"""Validation of nested documents in a record, and of fields whose bounds a type cannot express. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from orchestune.archives import format
from orchestune.archives.format import Item
from orchestune.domain.access.artifact_path import problem_of as path_problem_of
from orchestune.domain.lifecycle.states import ReasonCode, TrialState
from orchestune.domain.resources import usage
from orchestune.domain.search.floats import as_float
from orchestune.wire.nesting import refuse_deep, without_strings
from orchestune.wire.work import UsageSample

_MAX_BRACKETS = 200_000  # lists and objects in one document: bounds the memory of the parsed document
_MAX_COMMAS = 1_000_000
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LABEL = re.compile(r"[A-Za-z0-9_./\-]{1,200}")


def problem_of(item: Item) -> Iterator[tuple[str, str]]:
    """Yield the invalid fields of an item, each with its problem: 'must be …'."""
    for name, (words, fits) in _NESTED.get(type(item), {}).items():
        text = bytes(getattr(item, name))
        if text == b"null" and (type(item), name) in format.NULLABLE:
            continue
        if nested := _json(words, fits, text):
            yield name, nested
    match item:
        case format.ExperimentItem(state=state) | format.TrialItem(state=state) if not state.over:
            yield "state", f"is {state.value} (expected one that is over)"
        case format.AttemptItem(state=attempt_state) if attempt_state.live:
            yield "state", f"is {attempt_state.value} (expected one that is over)"
        case format.ArtifactItem(path=path) if problem := path_problem_of(path):
            yield "path", problem


def is_finite(value: object) -> bool:
    """Return True if `value` is a finite number that fits a float; booleans are not numbers."""
    return type(value) in (int, float) and math.isfinite(as_float(value))


def parsed(text: bytes) -> object:
    """Parse a nested document. Raises ValueError, with the reason, if it is malformed or too large."""
    if len(text) > format.MAX_JSON:
        raise ValueError(f"must be JSON of at most {format.MAX_JSON:,} bytes")
    structure = without_strings(text)
    if structure.count(b"[") + structure.count(b"{") > _MAX_BRACKETS or structure.count(b",") > _MAX_COMMAS:
        raise ValueError("contains too many values")
    try:
        refuse_deep(text)
        document: object = json.loads(text)
    except ValueError:
        raise ValueError("must be JSON") from None
    return document


def _json(words: str, fits: Callable[[object], bool], text: bytes) -> str:
    try:
        document = parsed(text)
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
    """Return True if all values of the object are strings."""
    return isinstance(document, dict) and all(isinstance(value, str) for value in document.values())


def _are_labels(document: object) -> bool:
    return is_text_mapping(document) and all(
        _LABEL.fullmatch(name) and len(text) <= 1000
        for name, text in document.items()  # type: ignore[attr-defined]
    )


def is_launch(document: object) -> bool:
    """Return True if `POST /experiments` accepts the document as `launch`."""
    if not isinstance(document, dict) or not is_text_mapping(document.get("env", {})):
        return False
    links = document.get("links", [])
    return (
        isinstance(document.get("root", ""), str | None)
        and isinstance(links, list)
        and all(isinstance(link, str) for link in links)
    )


def are_measured(document: object) -> bool:
    """Return True if the document holds values of metrics: name → {value, stddev}."""
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
        return len(msgspec.convert(document, list[UsageSample])) <= 2 * usage.MAX_RUNNING_SAMPLES
    except msgspec.ValidationError:
        return False


def is_value(value: object) -> bool:
    """Return True if a parameter may have this value: a string, boolean or finite number."""
    return isinstance(value, str | bool) or is_finite(value)


def _are_results(document: object) -> bool:
    return isinstance(document, list) and all(
        all(map(is_value, result["parameters"].values()))
        and result["state"] in (TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)
        and are_measured(result["metrics"])
        for result in document
    )


def _are_codes(document: object) -> bool:
    return isinstance(document, list) and all(each in list(ReasonCode) for each in document)


def _is_object(document: object) -> bool:
    return isinstance(document, dict)


def _is_list(document: object) -> bool:
    return isinstance(document, list)


_Check = tuple[str, Callable[[object], bool]]
_REASON: _Check = ("a code and a message", _is_reason)
_OBJECT: _Check = ("an object", _is_object)
_LIST: _Check = ("a list", _is_list)
_LAUNCH: _Check = ("the caller's environment", is_launch)
_METRICS: _Check = ("values of metrics", are_measured)
_CHECKPOINT: _Check = ("an attempt, a digest and a step", _is_checkpoint)
_NESTED: Mapping[type[Item], Mapping[str, _Check]] = {
    format.ExperimentItem: {
        "specification": _OBJECT,
        "launch": _LAUNCH,
        "labels": ("labels", _are_labels),
        "reason": _REASON,
        "best_by_fold": ("lists of numbers", _are_bests),
        "waived_guards": ("codes", _are_codes),
    },
    format.RevisionItem: {"specification": _OBJECT, "launch": _LAUNCH},
    format.WarmStartItem: {"results": ("results", _are_results)},
    format.WorkerItem: {"gpus": _LIST, "capabilities": _LIST},
    format.TrialItem: {"reason": _REASON, "parameters": _OBJECT, "checkpoint": _CHECKPOINT},
    format.FoldItem: {"metrics": _METRICS, "checkpoint": _CHECKPOINT},
    format.AttemptItem: {
        "reason": _REASON,
        "gpus": _LIST,
        "resumed_from": ("an attempt and a step", _is_resumption),
        "non_finite": ("numbers that are not finite", _are_not_finite),
    },
    format.UsageItem: {"samples": ("samples", _are_samples)},
    format.EventItem: {"data": _OBJECT},
}
