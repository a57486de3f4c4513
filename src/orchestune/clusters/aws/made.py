"""What has come to be of a cluster so far: ids by the key of the step that made them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from orchestune.domain.cluster import Planned

Made = dict[str, str]
Find = Callable[[Made], str | None]
Make = Callable[[Made], str]
Settle = Callable[[Made, Callable[[], None]], None]


@dataclass(frozen=True)
class Mend:
    """Something inside of a resource that is not as it has to be, such as a right or a route."""

    said: str
    do: Callable[[], object]


Lacks = Callable[[Made], Sequence[Mend]]


def _nothing(made: Made, beat: Callable[[], None]) -> None:
    return


def _whole(made: Made) -> Sequence[Mend]:
    return ()


@dataclass(frozen=True)
class Step:
    """One resource: how it is found, how it is made, and what it needs until it can be used."""

    key: str
    planned: Planned
    find: Find
    """its id; None where it is not there. Conflict where something of that name is not ours"""
    make: Make
    """its id. Called where `find` found nothing"""
    settle: Settle = field(default=_nothing)
    """waits for it, calling its second argument now and then. Called always; may be repeated"""
    batch: str = ""
    """steps of one batch that follow each other are all begun before the first one is waited for"""
    lacks: Lacks = field(default=_whole)
    """what has to be done inside of it, in that order, before `settle`. Only looks; ids of other steps may be missing
    where they are not there either"""


def mended(step: Step, mends: Iterable[Mend]) -> Planned:
    """What is told of a resource that is there, and not as it has to be."""
    return replace(step.planned, detail=f"mended: {', '.join(mend.said for mend in mends)}")
