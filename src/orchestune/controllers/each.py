"""What a controller has to do to many things, of which one may be in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestune.errors import StoreUnavailable
from orchestune.ports.files import Away

_IN_VAIN = 2
"""so many find the place of files away, and the others are not tried: each would wait as long. One may be so alone"""


def each(jobs: Iterable[Callable[[], object]]) -> None:
    """Do all of them: the one that the store or the place of files refuses keeps no other from it. Where that place is
    away, the rest waits for the next time.

    StoreUnavailable afterwards: that the place is away, else the first one that was raised.
    """
    trouble: StoreUnavailable | None = None
    away = 0
    for job in jobs:
        try:
            job()
        except StoreUnavailable as error:
            trouble = trouble or error
            away += isinstance(error, Away)
            if away == _IN_VAIN:
                raise
    if trouble is not None:
        raise trouble
