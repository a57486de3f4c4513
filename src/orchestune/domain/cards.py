"""GPUs: what each one is, which ones suit a trial, and how much of each is free."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_NOMINAL = 11 / 12
"""what a card shows of the memory on its box at least: the system keeps some of it (a T4 of 16 GiB shows 15)"""
_EXACT = 1e-6
_ENDS_THE_LIST = re.compile(r"-\d+|NoDevFiles|none|void", re.IGNORECASE)


@dataclass(frozen=True)
class Card:
    """One GPU, or a part of one that is cut up."""

    id: str
    """what goes into `CUDA_VISIBLE_DEVICES`"""
    model: str = ""
    """as its maker calls it; empty: not known"""
    memory: int = 0
    """bytes; 0: not known"""

    def __str__(self) -> str:
        size = f"{self.memory / 2**30:.3g} GiB" if self.memory else "memory not known"
        return f"{self.model or 'type not known'} ({size})"


@dataclass(frozen=True)
class Wanted:
    """What a trial wants of GPUs."""

    count: float
    """whole cards, or a share of one"""
    type: str | None = None
    memory: int | None = None
    """bytes that each card has at least"""
    ids: tuple[str, ...] | None = None
    """the only ones that will do; None: any"""

    def suited_by(self, card: Card) -> bool:
        """Whether a card is one of those that will do."""
        allowed = self.ids is None or card.id in self.ids
        return allowed and suits(card.model, card.memory, self.type, self.memory)


def suits(model: str, memory: int, type: str | None, least: int | None) -> bool:
    """Whether a card is of the wanted type and has the wanted bytes."""
    return (type is None or _is(model, type)) and (not least or memory >= least * _NOMINAL)


def _is(model: str, type: str) -> bool:
    """`a100` and `rtx4090` mean whole words of the model's name, whatever stands between them: `a10` is no `a100`."""
    wanted = "".join(_words(type))
    words = _words(model)
    starts = range(len(words))
    return any("".join(words[start:end]) == wanted for start in starts for end in range(start + 1, len(words) + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def listing(cards: Iterable[Card]) -> str:
    """`2 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)`; empty where nothing is known of any."""
    counted = Counter(replace(card, id="") for card in cards)
    if not any(card.model or card.memory for card in counted):
        return ""
    return ", ".join(f"{count} x {card}" for card, count in counted.items())


def named(visible: str) -> tuple[str, ...]:
    """The words of `CUDA_VISIBLE_DEVICES`, each once."""
    found: list[str] = []
    for word in (part.strip() for part in visible.split(",")):
        if not word or _ENDS_THE_LIST.fullmatch(word):
            break  # as CUDA reads it: what follows an invalid id is not visible
        if word not in found:
            found.append(word)
    return tuple(found)


class Deck:
    """What is free of some cards. Whole ones go to one trial; of a shared one only the rest is given away."""

    def __init__(self, cards: Iterable[Card]) -> None:
        self._cards = tuple(cards)
        self._free = {card.id: 1.0 for card in self._cards}

    def hold(self, held: Mapping[str, float]) -> None:
        """So much of each card is in use already."""
        for card, part in held.items():
            if card in self._free:
                self._free[card] = max(self._free[card] - part, 0.0)

    def fit(self, wanted: Wanted) -> int:
        """How many such trials find a place."""
        free = [self._free[card.id] for card in self._cards if wanted.suited_by(card)]
        if wanted.count < 1:
            return sum(int((part + _EXACT) // wanted.count) for part in free)
        return int(sum(part > 1 - _EXACT for part in free) // wanted.count)

    def take(self, wanted: Wanted) -> tuple[str, ...]:
        """The ids of the cards for one more trial; none where it finds no place.

        Of those that suit: a share comes from the card of which the least is free, so that whole ones stay whole; and
        the smaller and older cards go first, so that the larger ones are there for whoever names them.
        """
        if not self.fit(wanted):
            return ()
        suitable = [card for card in self._cards if wanted.suited_by(card)]
        enough = [card for card in suitable if self._free[card.id] >= min(wanted.count, 1) - _EXACT]
        enough.sort(key=lambda card: (round(self._free[card.id], 6), card.memory))
        chosen = enough[: max(int(wanted.count), 1)]
        self.hold({card.id: min(wanted.count, 1.0) for card in chosen})
        return tuple(card.id for card in chosen)
