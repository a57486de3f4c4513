"""How many attempts of an experiment ran over time, and why its trials failed: read on from where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestune.store import attempts
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

Numbers = NDArray[np.float64]

_MOST = 200
"""reasons that are told of"""
_UNKNOWN = {"code": "unknown", "message": "no reason is known"}


@dataclass
class Tally:
    """Of the trials that were over when it was read last. What is over stays as it is, but an attempt of such a trial
    may end after it.
    """

    told: int = 0
    """the place in the history up to which it was read"""
    begins: Numbers = field(default_factory=lambda: np.empty(0))
    ends: Numbers = field(default_factory=lambda: np.empty(0))
    """of attempts that are over, each in order"""
    late: set[int] = field(default_factory=set)
    """trials that are over with attempts that are not"""
    reasons: dict[str | None, tuple[int, int]] = field(default_factory=dict)
    """as JSON: how many trials failed for it, and the newest of them"""

    def read(self, session: Session, row: ExperimentRow) -> tuple[Numbers, Numbers]:
        """When attempts began and ended, each in order; one that runs ends now."""
        found = attempts.spans_between(session, row.id, self.told, row.history_seq)
        found += attempts.spans_of(session, row.id, sorted(self.late))
        for number, reason in rows.failed_between(session, row.id, self.told, row.history_seq):
            count, newest = self.reasons.get(reason, (0, 0))
            self.reasons[reason] = count + 1, max(newest, number)
        self.told = row.history_seq
        self.late = {trial for trial, _, end in found if end is None}
        over = [span for span in found if span[0] not in self.late]
        self.begins = _merged(self.begins, [begin for _, begin, _ in over])
        self.ends = _merged(self.ends, [end for _, _, end in over])
        running = [span for span in found if span[0] in self.late] + attempts.open_spans(session, row.id)
        begins = _merged(self.begins, [begin for _, begin, _ in running])
        return begins, _merged(self.ends, [session.now if end is None else end for _, _, end in running])

    def failures(self) -> list[dict[str, Any]]:
        """Why trials failed, the most frequent reason first."""
        ordered = sorted(self.reasons.items(), key=lambda each: -each[1][0])
        return [
            {"reason": json.loads(text) if text else _UNKNOWN, "trials": count, "newest": newest}
            for text, (count, newest) in ordered[:_MOST]
        ]


def _merged(ordered: Numbers, more: Sequence[float]) -> Numbers:
    """Both in order; quick where there are few more."""
    merged = np.concatenate([ordered, np.array(more, float)])
    merged.sort(kind="stable")
    return merged
