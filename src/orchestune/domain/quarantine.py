"""When a machine, and not the model, is to blame for failures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

SECONDS = 3600.0
"""how long a machine gets no trials; then it has another chance"""
_SURE = 0.01
"""how likely it may be at most that the failures fell on one machine by chance"""
_FAILURES = 3
_ELSEWHERE = 5
_RATE = 0.2
"""more failures than that elsewhere: then the model fails, wherever it runs"""

_GPU = re.compile(
    r"uncorrectable ECC error|GPU has fallen off the bus|\bXid\b.{0,40}\d+|NVML: (?:Unknown Error|GPU is lost)"
    r"|cudaErrorDevicesUnavailable|CUDA-capable device(?:s|\(s\))? (?:is|are|is/are) busy or unavailable"
    r"|no CUDA-capable device is detected|CUDA driver initialization failed|device not ready"
    r"|hipErrorNoDevice|NCCL.{0,80}unhandled (?:system|cuda) error",
    re.IGNORECASE,
)
"""what broken cards make programs say (CUDA's error strings, NVIDIA's Xid messages)"""


@dataclass(frozen=True)
class Tally:
    """How an experiment's trials ended on one machine."""

    succeeded: int = 0
    failed: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.succeeded + self.failed


def blame(node: str, tallies: Mapping[str, Tally], *, gpus: bool, tail: str) -> str | None:
    """Why the machine on which a trial has just failed is to blame, or None where the model may be.

    `tallies` has one experiment's trials by machine, without this one; `tail` is the end of its log, `gpus` whether
    it used any. Two kinds of evidence: the words of a broken card where trials succeeded on other machines, or
    failures that fall on this machine alone (Fisher's exact test, one-sided).
    """
    here = tallies.get(node, Tally())
    others = [tally for name, tally in tallies.items() if name != node]
    elsewhere = Tally(sum(tally.succeeded for tally in others), sum(tally.failed for tally in others))
    said = _GPU.search(tail) if gpus else None
    if said and elsewhere.succeeded:
        return f"its GPU seems to be broken ({said[0]!r}), and trials succeed elsewhere"
    failed = here.failed + 1
    if here.succeeded or failed < _FAILURES or elsewhere.count < _ELSEWHERE:
        return None
    if elsewhere.failed > _RATE * elsewhere.count or _chance(failed, failed, elsewhere.failed, elsewhere.count) > _SURE:
        return None
    return f"all {failed} trials failed there, and {elsewhere.failed} of {elsewhere.count} elsewhere"


def _chance(failed: int, count: int, failed_elsewhere: int, count_elsewhere: int) -> float:
    """How likely at least so many of the failures fall on `count` trials that were drawn from all of them."""
    failures, everything = failed + failed_elsewhere, count + count_elsewhere
    most = min(failures, count)
    ways = sum(comb(failures, k) * comb(everything - failures, count - k) for k in range(failed, most + 1))
    return ways / comb(everything, count)
