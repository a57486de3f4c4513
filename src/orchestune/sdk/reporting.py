"""Reporting of metrics from inside a trial."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from orchestune.domain.search.floats import as_float


def report(
    metrics: Mapping[str, Any] | None = None,
    /,
    *,
    step: float | None = None,
    stddev: float | Mapping[str, float] | None = None,
    **values: Any,
) -> None:
    """Report metrics of this trial: `report(accuracy=0.92, step=3)`, or `report({"val/loss": 0.31}, step=3)`.

    Values are anything that `float()` accepts: numbers, NumPy and PyTorch scalars. `stddev` is the standard deviation
    of the value, or a mapping by name. Can be called often, from any process of the trial; a report is written
    atomically. Outside a trial, metrics are printed, so that the script also runs by hand.

    >>> import orchestune
    >>> orchestune.report(step=3, accuracy=0.9)
    accuracy=0.9

    Raises TypeError for a value that is not a number, and ValueError for a single `stddev` with several metrics.
    """
    lines = records(by_name(metrics, values), step, stddev)
    path = os.environ.get("ORCHESTUNE_METRICS")
    if path:
        append(path, "".join(json.dumps(record) + "\n" for record in lines))
    else:
        for record in lines:
            sys.stdout.write(f"{record['name']}={record['value']!r}\n")
        sys.stdout.flush()


def by_name(metrics: Mapping[str, Any] | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge all metrics by name. Raises TypeError if the first argument is not a mapping."""
    if not isinstance(metrics, Mapping) and metrics is not None:
        raise TypeError(f"expected metrics by name, such as report(loss=…), got {metrics!r}")
    return {**(metrics or {}), **values}


def records(
    metrics: Mapping[str, Any], step: float | None, stddev: float | Mapping[str, float] | None
) -> list[dict[str, Any]]:
    """Return a record per metric, in the format of `$ORCHESTUNE_METRICS`. Raises the errors of `report`."""
    if stddev is not None and not isinstance(stddev, Mapping) and len(metrics) != 1:
        raise ValueError("a single stddev needs a single metric; use a mapping for several: stddev={'accuracy': 0.01}")
    lines = []
    for name, value in metrics.items():
        deviation = stddev.get(name) if isinstance(stddev, Mapping) else stddev
        record: dict[str, Any] = {"name": str(name), "value": _number(name, value)}
        if step is not None:
            record["step"] = _number("step", step)
        if deviation is not None:
            record["stddev"] = _number(f"stddev of {name}", deviation)
        lines.append(record)
    return lines


def _number(name: str, value: Any) -> float:
    try:
        return as_float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}") from None


def append(path: str, text: str) -> None:
    """Append text in one write, so that lines of several processes never mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
