"""Running attempts over time and failure reasons of an experiment, updated incrementally."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from orchestune import documents
from orchestune.store import attempts
from orchestune.store import trials as rows
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

Numbers = NDArray[np.float64]

_MAX_REASONS = 200
"""Upper bound of the failure reasons returned."""
_UNKNOWN: documents.Reason = {"code": "unknown", "message": "no reason is known"}


@dataclass(frozen=True)
class BusyIntervals:
    """Start and end times of attempts, each sorted, in seconds since 1970."""

    begins: Numbers
    ends: Numbers


@dataclass(frozen=True)
class FailureCount:
    """Number of trials that failed for one reason, and the newest of them."""

    trials: int
    newest: int


@dataclass
class TrialTotals:
    """Totals of the trials that had finished at the last read.

    Finished trials do not change, but an attempt may end after its trial.
    """

    read_up_to: int = 0
    """Position in the history up to which it was read."""
    begins: Numbers = field(default_factory=lambda: np.empty(0))
    ends: Numbers = field(default_factory=lambda: np.empty(0))
    """Start and end times of ended attempts, each sorted."""
    late: set[int] = field(default_factory=set)
    """Finished trials with attempts that have not ended."""
    reasons: dict[bytes, FailureCount] = field(default_factory=dict)
    """Failure counts, keyed by a digest of the reason: each of very many trials may have another one."""

    def read(self, session: Session, row: ExperimentRow) -> BusyIntervals:
        """Read new rows and return when attempts ran; live attempts end now."""
        spans = attempts.spans_between(session, row.id, self.read_up_to, row.history_seq)
        spans += attempts.spans_of(session, row.id, sorted(self.late))
        for trial in rows.failed_between(session, row.id, self.read_up_to, row.history_seq):
            digest = hashlib.blake2b((trial.reason or "").encode(), digest_size=16).digest()
            tally = self.reasons.get(digest, FailureCount(0, 0))
            self.reasons[digest] = FailureCount(tally.trials + 1, max(tally.newest, trial.number))
        self.read_up_to = row.history_seq
        self.late = {span.trial for span in spans if span.finished_at is None}
        late = self.late
        over = [span for span in spans if span.trial not in late]
        self.begins = _merged(self.begins, [span.leased_at for span in over])
        self.ends = _merged(self.ends, [span.finished_at for span in over if span.finished_at is not None])
        live = [span for span in spans if span.trial in late] + attempts.open_spans(session, row.id)
        ends = [session.now if span.finished_at is None else span.finished_at for span in live]
        return BusyIntervals(_merged(self.begins, [span.leased_at for span in live]), _merged(self.ends, ends))

    def failures(self, session: Session, row: ExperimentRow) -> list[documents.Failures]:
        """Return at most `_MAX_REASONS` failure reasons of trials, the most frequent one first."""
        counts = sorted(self.reasons.values(), key=lambda count: -count.trials)[:_MAX_REASONS]
        reasons = {trial.number: trial.reason for trial in rows.of_numbers(session, row.id, [c.newest for c in counts])}
        return [
            {
                "reason": json.loads(text) if (text := reasons.get(count.newest)) else _UNKNOWN,
                "trials": count.trials,
                "newest": count.newest,
            }
            for count in counts
        ]


def _merged(ordered: Numbers, more: Sequence[float]) -> Numbers:
    """Merge `more` into the sorted `ordered`; fast if `more` is short."""
    merged = np.concatenate([ordered, np.array(more, float)])
    merged.sort(kind="stable")
    return merged
