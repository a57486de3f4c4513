"""The short form of ranges, written from numbers: the inverse of the parser of the section `parameters`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.config.document.nodes import yaml_text

Number = int | float


def spelled(low: Number, high: Number, *, log: bool = False, step: Number | None = None, whole: bool = False) -> str:
    """Format a range: `2..8`, `1e-5..0.1 log`, `0.0..1.0 step 0.25`. Bounds are decimals unless `whole` is set."""
    kind = int if whole else float
    words = [f"{yaml_text(kind(low))}..{yaml_text(kind(high))}"]
    if log:
        words.append("log")
    if step is not None and not (whole and step == 1):
        words.append(f"step {yaml_text(kind(step))}")
    return " ".join(words)


def extended(spelling: str | list[Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the short form to the long one, the only one with `when` and `prior`, and add the keys `more`."""
    if isinstance(spelling, list):
        return {"values": spelling, **more}
    bounds, *words = spelling.split()
    low, _, high = bounds.partition("..")
    whole = all(part.lstrip("-").isdigit() for part in (low, high))
    number = int if whole else float
    long: dict[str, Any] = {"type": "int" if whole else "float", "min": number(low), "max": number(high)}
    if "log" in words:
        long["log"] = True
    if "step" in words:
        long["step"] = number(words[-1])
    return {**long, **more}
