"""Reports the return value of the function under `@hydra.main`, inside a trial."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback

from orchestune.sdk.reporting import report


class Returned(Callback):
    """A Hydra callback that reports a number, or several as a list or by name; nothing for None."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._metrics = list(metrics)

    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        if job_return.status is not JobStatus.COMPLETED or job_return.return_value is None:
            return
        try:
            report(named(job_return.return_value, self._metrics))
        except TypeError as exc:  # Hydra turns an exception of a callback into a warning
            sys.exit(f"the function under @hydra.main returned {job_return.return_value!r}: {exc}")


def named(value: Any, metrics: Sequence[str]) -> dict[str, Any]:
    """Map the returned value to metrics. Raises TypeError if it does not match them."""
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) != len(metrics):
        raise TypeError(f"expected {len(metrics)} numbers, one for each metric ({', '.join(metrics)})")
    return dict(zip(metrics, values, strict=True))
