"""Formatting of counts and lists in messages, and suggestions for misspelled names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

_MAX_NAME_CHARS = 60  # longer names are hardly typos, and comparing long texts is slow


def plural(count: int, noun: str) -> str:
    """Return the count with its noun, as `1 trial` or `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(words: Sequence[str], max_words: int = 10) -> str:
    """Join the words, as `l1, l2`; of more than `max_words` only the first ones and the number of the others."""
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


def did_you_mean(name: str, allowed: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return a hint such as `did you mean budget?`; empty if no name is similar."""
    suggestion = closest(name, allowed, synonyms)
    return f"did you mean {suggestion}?" if suggestion else ""
