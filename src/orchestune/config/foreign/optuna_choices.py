"""Values for choices of Optuna's categorical parameters."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution


def in_words(distributions: Iterable[BaseDistribution]) -> bool:
    """Return True if the choices mix booleans with None, which is written as a word: all are written as words then."""
    choices = [
        choice
        for distribution in distributions
        if isinstance(distribution, CategoricalDistribution)
        for choice in distribution.choices
    ]
    return None in choices and any(isinstance(choice, bool) for choice in choices)


def single(choice: Any, words: bool = False) -> Any:
    """Convert a choice to a value of a parameter; with `words`, booleans become text."""
    if choice is None or (words and isinstance(choice, bool)):
        return str(choice)
    return choice if isinstance(choice, (str, int, float)) else json.dumps(choice)
