"""Which of the values that a library measures are reported, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestune.sdk.reporting import report


def report_chosen(
    measured: Mapping[str, Any],
    metrics: Mapping[str, str] | None,
    *,
    step: float | None = None,
    stddev: Mapping[str, float] | None = None,
) -> None:
    """Report what was measured; with `metrics`, only those, as the names that it gives: `{"loss": "val_loss"}`.

    A library may measure some things at some steps only, so what is not there now is left out.
    """
    spread = stddev or {}
    if metrics is not None:
        present = {name: theirs for name, theirs in metrics.items() if theirs in measured}
        measured = {name: measured[theirs] for name, theirs in present.items()}
        spread = {name: spread[theirs] for name, theirs in present.items() if theirs in spread}
    report(measured, step=step, stddev=spread)
