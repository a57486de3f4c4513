"""The short spelling of ranges, from numbers: the inverse of what the section `parameters` reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.config.document.nodes import written

Number = int | float


def spelled(low: Number, high: Number, *, log: bool = False, step: Number | None = None, whole: bool = False) -> str:
    """A range: `2..8`, `1e-5..0.1 log`, `0.0..1.0 step 0.25`. Bounds of a range that is not `whole` are decimals."""
    kind = int if whole else float
    words = [f"{written(kind(low))}..{written(kind(high))}"]
    if log:
        words.append("log")
    if step is not None and not (whole and step == 1):
        words.append(f"step {written(kind(step))}")
    return " ".join(words)


def extended(spelling: str | list[Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """The same in the long spelling, which alone has `when` and `prior`."""
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
