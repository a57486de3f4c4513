"""In a trial: what the function under `@hydra.main` returned is what is reported."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback

from orchestune.sdk.reporting import report


class Returned(Callback):
    """A callback of Hydra that reports a number, or several as a list or by name; nothing for None."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = list(metrics)

    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        if job_return.status is not JobStatus.COMPLETED or job_return.return_value is None:
            return
        try:
            report(named(job_return.return_value, self._metrics))
        except TypeError as exc:  # Hydra makes a warning of what a callback raises
            sys.exit(f"the function under @hydra.main returned {job_return.return_value!r}: {exc}")


def named(value: Any, metrics: Sequence[str]) -> dict[str, Any]:
    """What was returned, by metric. TypeError where it is not what the metrics ask for."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) != len(metrics):
        raise TypeError(f"there are {len(metrics)} metrics ({', '.join(metrics)}), so return as many numbers")
    return dict(zip(metrics, values, strict=True))
