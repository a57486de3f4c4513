"""What has come to be of a cluster so far: ids by the key of the step that made them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestune.domain.cluster import Planned

Made = dict[str, str]
Find = Callable[[Made], str | None]
Make = Callable[[Made], str]
Settle = Callable[[Made, Callable[[], None]], None]


def _nothing(made: Made, beat: Callable[[], None]) -> None:
    return


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
    """makes it complete and waits for it, calling its second argument now and then. Called always; may be repeated"""
    batch: str = ""
    """steps of one batch that follow each other are all begun before the first one is waited for"""
