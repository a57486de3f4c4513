"""What a controller has to do to many things, of which one may be in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestune.errors import StoreUnavailable


def each(jobs: Iterable[Callable[[], object]]) -> None:
    """Do all of them: the one that the store or the place of files refuses keeps no other from it.

    StoreUnavailable afterwards, the first one that was raised.
    """
    trouble: StoreUnavailable | None = None
    for job in jobs:
        try:
            job()
        except StoreUnavailable as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
