"""Parameters and results against the shapes of botocore's models: names, types, what is required, enums, lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import Shape
from botocore.validate import ParamValidator

_NUMBERS = "integer", "long", "float", "double"
_OPEN = {"AttachmentStatus", "InstanceType", "State"}
"""enums that do not bind: EC2 has new types before SDKs do and refuses wrong ones itself, and it tells states of
gateways and endpoints that its model does not have"""


def problems(value: Mapping[str, Any], shape: Shape | None, *, request: bool) -> list[str]:
    """Return the model's objections. Enums bind answers too; lengths and patterns only requests."""
    if shape is None:
        return [f"unexpected: {', '.join(value)}"] if value else []
    report = ParamValidator().validate(value, shape)
    errors = report.generate_report().splitlines() if report.has_errors() else []
    return errors or list(_finer(value, shape, shape.name, request))


def _finer(value: Any, shape: Shape, where: str, request: bool) -> Iterator[str]:
    if shape.type_name == "structure":
        if getattr(shape, "is_document_type", False):
            return
        for name, inner in value.items():
            yield from _finer(inner, shape.members[name], f"{where}.{name}", request)  # type: ignore[attr-defined]
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _finer(inner, shape.member, f"{where}[{number}]", request)  # type: ignore[attr-defined]
        if request:
            yield from _bounds(len(value), shape, where, "items")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _finer(key, shape.key, f"{where} (key)", request)  # type: ignore[attr-defined]
            yield from _finer(inner, shape.value, f"{where}.{key}", request)  # type: ignore[attr-defined]
    elif shape.type_name == "string":
        yield from _text(value, shape, where, request)
    elif request and shape.type_name in _NUMBERS:
        yield from _bounds(value, shape, where, "")


def _text(value: str, shape: Shape, where: str, request: bool) -> Iterator[str]:
    allowed = shape.metadata.get("enum")
    if allowed and shape.name not in _OPEN and value not in allowed:
        yield f"{where} is {value!r}, none of {', '.join(allowed)}"
    if not request:
        return
    yield from _bounds(len(value), shape, where, "characters")
    pattern = shape.metadata.get("pattern")
    expression = _compiled(pattern) if pattern else None
    if expression and not expression.fullmatch(value):
        yield f"{where} is {value!r}, which is not of the form {pattern}"


def _bounds(size: float, shape: Shape, where: str, unit: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < float(low):
        yield f"{where} is {size} {unit}, fewer than {low}"
    if high is not None and size > float(high):
        yield f"{where} is {size} {unit}, more than {high}"


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """None for what is no expression of Python: the models are written in that of Java."""
    if r"\p{" in pattern or "&&" in pattern:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None
