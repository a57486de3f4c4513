"""The machine's GPUs by UUID: a container counts those that it sees anew, and a UUID means the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from orchestune.backends.nvidia import Card, listed


def ask(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The ids for `DeviceRequests` and `CUDA_VISIBLE_DEVICES`; none where there is no `nvidia-smi`. Takes seconds."""
    return visible(listed(environ), environ.get("CUDA_VISIBLE_DEVICES"))


def visible(found: Sequence[Card], named: str | None) -> tuple[str, ...]:
    """The ids of these, or of those that `CUDA_VISIBLE_DEVICES` names by index or UUID."""
    if named is None:
        return tuple(name for card in found for name in card.parts or (card.uuid,))
    chosen: list[str] = []
    for word in (part.strip() for part in named.split(",")):
        names = [name for card in found for name in _names(card, word)]
        if not names:
            break  # as CUDA reads it: what follows an invalid id is not visible
        chosen += [name for name in names if name not in chosen]
    return tuple(chosen)


def _names(card: Card, word: str) -> tuple[str, ...]:
    if word == card.index or (word.startswith("GPU-") and card.uuid.startswith(word)):
        return card.parts or (card.uuid,)
    return tuple(part for part in card.parts if word.startswith("MIG-") and part.startswith(word))
