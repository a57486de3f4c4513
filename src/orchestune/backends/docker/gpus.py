"""The machine's GPUs by UUID: a container counts those that it sees anew, and a UUID means the same everywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One GPU; `parts` are those into which it is cut up (MIG)."""

    index: str
    uuid: str
    parts: tuple[str, ...] = ()


def ask(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The ids for `DeviceRequests` and `CUDA_VISIBLE_DEVICES`; none where there is no `nvidia-smi`. Takes seconds."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH", os.defpath))
    if program is None:
        return ()
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return visible(cards(done.stdout), environ.get("CUDA_VISIBLE_DEVICES")) if done.returncode == 0 else ()


def cards(text: str) -> list[Card]:
    """What `nvidia-smi -L` lists."""
    found: list[Card] = []
    for line in text.splitlines():
        if gpu := re.match(r"GPU (\d+):.*\(UUID:\s*(GPU-[^)\s]+)\)", line):
            found.append(Card(gpu[1], gpu[2]))
        elif (part := re.match(r"\s+MIG .*\(UUID:\s*(MIG-[^)\s]+)\)", line)) and found:
            card = found[-1]
            found[-1] = Card(card.index, card.uuid, (*card.parts, part[1]))
    return found


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
