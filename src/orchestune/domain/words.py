"""How counts and lists are put into words, and what somebody meant who wrote another word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

_LONGEST_NAME = 60  # nobody mistypes more than that, and comparing long texts takes its time


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(words: Sequence[str], most: int = 10) -> str:
    """`l1, l2`; of many the first ones, and how many more there are."""
    left = len(words) - most
    return ", ".join(words[:most]) + (f" and {left:,} more" if left > 0 else "")


def closest(name: str, allowed: Iterable[str], known: Mapping[str, str] | None = None) -> str:
    """The allowed name that `name` is close to, or that is `known` under it; else nothing."""
    if len(name) > _LONGEST_NAME:
        return ""
    other = (known or {}).get(name.casefold())
    if other:
        return other
    candidates = {option.casefold(): option for option in allowed}
    close = get_close_matches(name.casefold(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else ""


def did_you_mean(name: str, allowed: Iterable[str], known: Mapping[str, str] | None = None) -> str:
    """`did you mean budget?`, or nothing."""
    meant = closest(name, allowed, known)
    return f"did you mean {meant}?" if meant else ""
