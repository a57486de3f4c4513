"""Amounts as Slurm writes them."""

from __future__ import annotations

import re

from orchestune.domain.resources import parse_bytes

_CARDS = re.compile(r"(?:^|[,:/])gpu(?::[A-Za-z][^:,(]*)?(?::(\d+))?(?=[,(]|$)")


def cards(text: str) -> int:
    """GPUs of `gpu:a100:4(S:0-1)`, `gpu:2`, `gres:gpu:a100:1` or `cpu=4,gres/gpu=2`; 0 where none is named."""
    counted = re.search(r"gres/gpu=(\d+)", text)
    if counted:
        return int(counted[1])
    return sum(int(count or 1) for count in _CARDS.findall(text))


def amount(text: str) -> int:
    """Bytes of `300M` or `2.50G`, of which M is 2**20; 0 where nothing of the kind is said."""
    match = re.match(r"\d+(?:\.\d+)?[KMGTP]", text)
    return parse_bytes(f"{match[0]}i") if match else 0
