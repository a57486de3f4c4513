"""Detection of nodes that cause trial failures, as opposed to failures of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

SECONDS = 3600.0
"""duration of a quarantine; then the node gets trials again"""
_SURE = 0.01
"""significance level: maximum probability that the failures concentrate on one node by chance"""
_FAILURES = 3
_ELSEWHERE = 5
_RATE = 0.2
"""failure rate on other nodes above which the model is assumed to fail everywhere"""

_GPU = re.compile(
    r"uncorrectable ECC error|GPU has fallen off the bus|\bXid\b.{0,40}\d+|NVML: (?:Unknown Error|GPU is lost)"
    r"|cudaErrorDevicesUnavailable|CUDA-capable device(?:s|\(s\))? (?:is|are|is/are) busy or unavailable"
    r"|no CUDA-capable device is detected|CUDA driver initialization failed|device not ready"
    r"|hipErrorNoDevice|NCCL.{0,80}unhandled (?:system|cuda) error",
    re.IGNORECASE,
)
"""error messages of broken GPUs (CUDA's error strings, NVIDIA's Xid messages)"""


@dataclass(frozen=True)
class NodeOutcomes:
    """Trial outcomes of one experiment on one node."""

    succeeded: int = 0
    failed: int = 0

    @property
    def count(self) -> int:
        """Number of trials that ended on the node."""
        return self.succeeded + self.failed


def blame(node: str, tallies: Mapping[str, NodeOutcomes], *, gpus: bool, tail: str) -> str | None:
    """Return the reason to quarantine the node on which a trial has just failed; None if the model may be the cause.

    `tallies` has the experiment's outcomes by node without this trial; `tail` is its log tail, `gpus` is True if it
    used GPUs. There are two kinds of evidence: an error message of a broken GPU while trials succeeded on other nodes,
    or failures that concentrate on this node (Fisher's exact test, one-sided).
    """
    here = tallies.get(node, NodeOutcomes())
    others = [tally for name, tally in tallies.items() if name != node]
    elsewhere = NodeOutcomes(sum(tally.succeeded for tally in others), sum(tally.failed for tally in others))
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
    """Return the probability that `count` trials drawn from all of them contain at least `failed` failures."""
    failures, everything = failed + failed_elsewhere, count + count_elsewhere
    most = min(failures, count)
    ways = sum(comb(failures, k) * comb(everything - failures, count - k) for k in range(failed, most + 1))
    return ways / comb(everything, count)
