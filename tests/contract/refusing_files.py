"""A place for files that refuses one thing, and does all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from orchestune.errors import StoreUnavailable

Result = TypeVar("Result")


def refusing_the_first(function: Callable[[str], Result], why: str) -> tuple[Callable[[str], Result], set[str]]:
    """Return `function` made to refuse the first key that it gets, for good, and the set that will hold that key."""
    refused = set[str]()

    def call(key: str) -> Result:
        if not refused or key in refused:
            refused.add(key)
            raise StoreUnavailable(why)
        return function(key)

    return call, refused
