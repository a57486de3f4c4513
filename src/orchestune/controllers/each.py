"""What a controller has to do to many things, of which one may be in trouble."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from orchestune.errors import StoreUnavailable
from orchestune.ports.files import Away

_IN_VAIN = 2
"""so many find the place of files away, and the others are not tried: each would wait as long. One may be so alone"""


def each(jobs: Iterable[Callable[[], object]]) -> None:
    """Do all of them: one that fails keeps no other from it. Where the place of files is away, the rest waits for the
    next time.

    Raises afterwards: that the place is away, else the first that is more than a refusal, else the first one.
    """
    troubles: list[Exception] = []
    for job in jobs:
        try:
            job()
        except Exception as error:  # whatever it is, it is raised once the others have had their turn
            troubles.append(error)
            if sum(isinstance(trouble, Away) for trouble in troubles) == _IN_VAIN:
                raise
    if troubles:
        raise next((trouble for trouble in troubles if not isinstance(trouble, StoreUnavailable)), troubles[0])
