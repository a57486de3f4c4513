"""Detection of nodes that cause trial failures, as opposed to failures of the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

QUARANTINE_SECONDS = 3600.0
"""duration of a quarantine; then the node gets trials again"""
_SIGNIFICANCE = 0.01
"""significance level: maximum probability that the failures concentrate on one node by chance"""
_MIN_FAILURES = 3
_MIN_TRIALS_ON_OTHER_NODES = 5
_MAX_FAILURE_RATE_ON_OTHER_NODES = 0.2
"""failure rate on other nodes above which the model is assumed to fail everywhere"""

_GPU_ERROR = re.compile(
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


def quarantine_reason(node: str, tallies: Mapping[str, NodeOutcomes], *, gpus: bool, tail: str) -> str | None:
    """Return the reason to quarantine the node on which a trial has just failed; None if the model may be the cause.

    `tallies` has the experiment's outcomes by node without this trial; `tail` is its log tail, `gpus` is True if it
    used GPUs. There are two kinds of evidence: an error message of a broken GPU while trials succeeded on other nodes,
    or failures that concentrate on this node (Fisher's exact test, one-sided).
    """
    own = tallies.get(node, NodeOutcomes())
    others = [tally for name, tally in tallies.items() if name != node]
    other = NodeOutcomes(sum(tally.succeeded for tally in others), sum(tally.failed for tally in others))
    gpu_error = _GPU_ERROR.search(tail) if gpus else None
    if gpu_error and other.succeeded:
        return f"its GPU seems to be broken ({gpu_error[0]!r}), and trials succeed on other nodes"
    failed = own.failed + 1
    if own.succeeded or failed < _MIN_FAILURES or other.count < _MIN_TRIALS_ON_OTHER_NODES:
        return None
    if (
        other.failed > _MAX_FAILURE_RATE_ON_OTHER_NODES * other.count
        or _probability_by_chance(failed, failed, other.failed, other.count) > _SIGNIFICANCE
    ):
        return None
    return f"all {failed} trials failed there, and {other.failed} of {other.count} on other nodes"


def _probability_by_chance(failed: int, count: int, failed_elsewhere: int, count_elsewhere: int) -> float:
    """Return the probability that `count` trials drawn from all of them contain at least `failed` failures."""
    failures, everything = failed + failed_elsewhere, count + count_elsewhere
    most = min(failures, count)
    ways = sum(comb(failures, k) * comb(everything - failures, count - k) for k in range(failed, most + 1))
    return ways / comb(everything, count)
