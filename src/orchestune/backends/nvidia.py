"""The GPUs of this machine as `nvidia-smi -L` lists them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """One GPU; `parts` are the UUIDs of those into which it is cut up (MIG)."""

    index: str
    uuid: str
    parts: tuple[str, ...] = ()


def listed(environ: Mapping[str, str] = os.environ) -> list[Card]:
    """The machine's GPUs; none where there is no `nvidia-smi` on the PATH or it fails. Takes seconds."""
    program = shutil.which("nvidia-smi", path=environ.get("PATH", os.defpath))
    if program is None:
        return []
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return cards(done.stdout) if done.returncode == 0 else []


def cards(text: str) -> list[Card]:
    """What `nvidia-smi -L` printed."""
    found: list[Card] = []
    for line in text.splitlines():
        if gpu := re.match(r"GPU (\d+):.*\(UUID:\s*(GPU-[^)\s]+)\)", line):
            found.append(Card(gpu[1], gpu[2]))
        elif (part := re.match(r"\s+MIG .*\(UUID:\s*(MIG-[^)\s]+)\)", line)) and found:
            card = found[-1]
            found[-1] = Card(card.index, card.uuid, (*card.parts, part[1]))
    return found
