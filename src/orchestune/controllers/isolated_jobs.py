"""Runs a controller's jobs so that one failing job does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestune.errors import StoreUnavailable
from orchestune.ports.files import FileStoreUnreachable
from orchestune.system.isolation import failure_of

_MAX_UNREACHABLE = 2
"""`FileStoreUnreachable` failures after which the rest is skipped: each would block as long; one may be an exception"""


def each(jobs: Iterable[Callable[[], object]]) -> None:
    """Run all jobs; one that fails does not stop the others. If the file store is unreachable, skip the remaining jobs
    until the next call.

    Raises one error at the end: `FileStoreUnreachable` if jobs were skipped, else the first but StoreUnavailable, else
    the first error.
    """
    errors: list[Exception] = []
    for job in jobs:
        error = failure_of(job)
        if error is None:
            continue
        errors.append(error)
        if sum(isinstance(error, FileStoreUnreachable) for error in errors) == _MAX_UNREACHABLE:
            raise error
    if errors:
        raise next((error for error in errors if not isinstance(error, StoreUnavailable)), errors[0])
