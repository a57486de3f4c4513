"""Isolation of jobs from each other: an unexpected exception of one must not end the loop or thread that runs all."""

from __future__ import annotations

from collections.abc import Callable


def failure_of(
    job: Callable[[], object], *, passing: type[Exception] | tuple[type[Exception], ...] = ()
) -> Exception | None:
    """Run a job and return its exception, None if it succeeded. Exceptions of the types `passing` are raised.

    The caller logs the exception with its traceback, or raises it later.
    """
    try:
        job()
    except passing:
        raise
    except Exception as error:  # noqa: BLE001 - the purpose of this function
        return error
    return None
