"""GPUs: their properties, which ones match a request, and how much of each is available."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_NOMINAL = 11 / 12
"""minimum ratio of reported to nominal memory: the system reserves some (a T4 of 16 GiB reports 15)"""
_EXACT = 1e-6
_MOST_SHARES = 1000  # trials on one GPU: specifications request at least a thousandth
_ENDS_THE_LIST = re.compile(r"-\d+|NoDevFiles|none|void", re.IGNORECASE)


@dataclass(frozen=True)
class Gpu:
    """One GPU, or one partition of a GPU."""

    id: str
    """id as used in `CUDA_VISIBLE_DEVICES`"""
    model: str = ""
    """name given by the manufacturer; empty: unknown"""
    memory: int = 0
    """bytes; 0: unknown"""

    def __str__(self) -> str:
        size = f"{self.memory / 2**30:.3g} GiB" if self.memory else "memory not known"
        return f"{self.model or 'type not known'} ({size})"


@dataclass(frozen=True)
class GpuRequest:
    """GPU request of a trial."""

    count: float
    """number of whole GPUs, or a fraction of one"""
    type: str | None = None
    memory: int | None = None
    """minimum bytes per GPU"""
    ids: tuple[str, ...] | None = None
    """ids of the only allowed GPUs; None: any"""

    def suited_by(self, card: Gpu) -> bool:
        """Return True if `card` matches the request."""
        allowed = self.ids is None or card.id in self.ids
        return allowed and suits(card.model, card.memory, self.type, self.memory)


def suits(model: str, memory: int, type: str | None, least: int | None) -> bool:
    """Return True if a GPU is of the requested type and has at least `least` bytes."""
    return (type is None or _is(model, type)) and (not least or memory >= least * _NOMINAL)


def _is(model: str, type: str) -> bool:
    """Return True if `type` matches consecutive whole words of `model`, separators ignored: `a10` is not an `a100`."""
    wanted = "".join(_words(type))
    words = _words(model)
    starts = range(len(words))
    return any("".join(words[start:end]) == wanted for start in starts for end in range(start + 1, len(words) + 1))


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def listing(cards: Iterable[Gpu]) -> str:
    """Return `2 x NVIDIA A100-SXM4-40GB (40 GiB), 1 x Tesla T4 (15 GiB)`; empty if nothing is known of any GPU."""
    counted = Counter(replace(card, id="") for card in cards)
    if not any(card.model or card.memory for card in counted):
        return ""
    return ", ".join(f"{count} x {card}" for card, count in counted.items())


def named(visible: str) -> tuple[str, ...]:
    """Return the ids in `CUDA_VISIBLE_DEVICES`, without duplicates."""
    found: list[str] = []
    for word in (part.strip() for part in visible.split(",")):
        if not word or _ENDS_THE_LIST.fullmatch(word):
            break  # as CUDA does: ids after an invalid one are not visible
        if word not in found:
            found.append(word)
    return tuple(found)


class GpuSet:
    """Available capacity of a set of GPUs: a whole GPU goes to one trial, the rest of a shared GPU to others."""

    def __init__(self, cards: Iterable[Gpu]) -> None:
        self._cards = tuple(cards)
        self._free = {card.id: 1.0 for card in self._cards}

    def hold(self, held: Mapping[str, float]) -> None:
        """Mark fractions of GPUs (id → fraction) as in use."""
        for card, part in held.items():
            if card in self._free:
                self._free[card] = max(self._free[card] - part, 0.0)

    def fit(self, wanted: GpuRequest) -> int:
        """Return how many trials with this request fit."""
        free = [self._free[card.id] for card in self._cards if wanted.suited_by(card)]
        if wanted.count < 1:
            return sum(int(min((part + _EXACT) // wanted.count, _MOST_SHARES)) for part in free)
        return int(sum(part > 1 - _EXACT for part in free) // wanted.count)

    def take(self, wanted: GpuRequest) -> tuple[str, ...]:
        """Allocate GPUs to one more trial and return their ids; empty if it does not fit.

        Among matching GPUs, a fraction comes from the one with the least available, so that whole ones stay free, and
        smaller and older GPUs are used first, so that larger ones remain for trials that name them.
        """
        if not self.fit(wanted):
            return ()
        suitable = [card for card in self._cards if wanted.suited_by(card)]
        enough = [card for card in suitable if self._free[card.id] >= min(wanted.count, 1) - _EXACT]
        enough.sort(key=lambda card: (round(self._free[card.id], 6), card.memory))
        chosen = enough[: max(int(wanted.count), 1)]
        self.hold({card.id: min(wanted.count, 1.0) for card in chosen})
        return tuple(card.id for card in chosen)
