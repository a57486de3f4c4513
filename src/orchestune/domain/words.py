"""Formatting of counts and lists in messages, and suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice

_MAX_NAME_CHARS = 60  # longer names are hardly typos, and comparing long texts is slow
_MAX_COMPARED_NAMES = 50  # names from outside; comparing 950 names of 500 characters took 28 s


def plural(count: int, noun: str) -> str:
    """Return the count with its noun, as `1 trial` or `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def brief_list(words: Sequence[str], max_words: int = 10) -> str:
    """Join words for a message, as `l1, l2`; of more than `max_words` the first ones and the number of the others."""
    omitted = len(words) - max_words
    return ", ".join(words[:max_words]) + (f" and {omitted:,} more" if omitted > 0 else "")


def closest(name: str, allowed: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return the name to which `synonyms` maps `name`, else the most similar allowed one; empty if there is none."""
    if len(name) > _MAX_NAME_CHARS:
        return ""
    other = (synonyms or {}).get(name.casefold())
    if other:
        return other
    candidates = {option.casefold(): option for option in allowed}
    close = get_close_matches(name.casefold(), candidates, n=1, cutoff=0.6)
    return candidates[close[0]] if close else ""


def most_similar(name: str, names: Iterable[str], cutoff: float) -> str:
    """Return the most similar of the first 50 names, which any user may have chosen; empty if none is similar.

    Only the first 60 characters of each name are compared.
    """
    candidates = {other[:_MAX_NAME_CHARS]: other for other in islice(names, _MAX_COMPARED_NAMES)}
    return next((candidates[other] for other in get_close_matches(name[:_MAX_NAME_CHARS], candidates, 1, cutoff)), "")


def did_you_mean(name: str, allowed: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return a hint such as `did you mean budget?`; empty if no name is similar."""
    suggestion = closest(name, allowed, synonyms)
    return f"did you mean {suggestion}?" if suggestion else ""
