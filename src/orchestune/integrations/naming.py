"""Selection and names of the metrics that callbacks report."""

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
    """Report the measured values; with `metrics`, only those, under their new names: `{"loss": "val_loss"}`.

    Metrics that the library does not measure at this step are left out.
    """
    deviations = stddev or {}
    if metrics is not None:
        present = {name: library_name for name, library_name in metrics.items() if library_name in measured}
        measured = {name: measured[library_name] for name, library_name in present.items()}
        deviations = {
            name: deviations[library_name] for name, library_name in present.items() if library_name in deviations
        }
    report(measured, step=step, stddev=deviations)
