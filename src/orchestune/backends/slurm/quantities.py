"""Parsers for Slurm's quantities."""

from __future__ import annotations

import re

from orchestune.domain.resources.resources import parse_bytes

_CARDS = re.compile(r"(?:^|[,:/])gpu(?::[A-Za-z][^:,(]*)?(?::(\d+))?(?=[,(]|$)")


def gpu_count(text: str) -> int:
    """Return the number of GPUs in `gpu:a100:4(S:0-1)`, `gpu:2`, `gres:gpu:a100:1` or `cpu=4,gres/gpu=2`; 0 if none."""
    counted = re.search(r"gres/gpu=(\d+)", text)
    if counted:
        return int(counted[1])
    return sum(int(count or 1) for count in _CARDS.findall(text))


def amount(text: str) -> int:
    """Return the bytes of `300M` or `2.50G`, where M is 2**20; 0 if it is not such an amount."""
    match = re.match(r"\d+(?:\.\d+)?[KMGTP]", text)
    return parse_bytes(f"{match[0]}i") if match else 0
