"""How choices of Optuna's categorical parameters are written here."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution


def in_words(found: Iterable[BaseDistribution]) -> bool:
    """Whether true and false stand beside None, which is a word: the option then has a value in each case."""
    choices = [choice for one in found if isinstance(one, CategoricalDistribution) for choice in one.choices]
    return None in choices and any(isinstance(choice, bool) for choice in choices)


def single(choice: Any, words: bool = False) -> Any:
    """The choice as a value that a parameter can have; with `words` true and false as such."""
    if choice is None or (words and isinstance(choice, bool)):
        return str(choice)
    return choice if isinstance(choice, (str, int, float)) else json.dumps(choice)
