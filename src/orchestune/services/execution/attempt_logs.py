"""Storage of the attempt logs that workers send, with a size limit that the server enforces as well."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.services.execution.ledger import Ledger
from orchestune.store import logs
from orchestune.store.session import Session
from orchestune.wire.work import LogPart
from orchestune.worker.output import TAIL

LOG_CAP = 64 * 2**20
_HEAD = LOG_CAP - TAIL  # bytes; a worker sends the log up to here, and only the last `TAIL` bytes of the rest
_TAIL_BYTES, _TAIL_SEGMENTS = 2 * TAIL, 2000  # behind the head; an honest worker needs half the bytes, far fewer parts


def append_logs(ledger: Ledger, attempt: str, trial: int, log_end: int, parts: Sequence[LogPart]) -> int:
    """Store the new parts of the log in order and return the end offset of the log in bytes.

    Bytes beyond the limit are dropped but acknowledged, since the worker would otherwise resend them forever. One empty
    segment with a gap marks the cut.
    """
    end = log_end
    quota: _QuotaBehindHead | None = None
    for part in parts:
        data = part.data
        if part.gap and part.offset >= end:
            end = part.offset  # not a lost part: the worker itself dropped `gap` bytes here
        elif part.offset > end:
            break  # an earlier part is missing: the worker will resend it
        elif part.offset + len(data) <= end:
            continue
        accepted = new = data[end - part.offset :]
        if end >= _HEAD:
            quota = quota or _QuotaBehindHead(ledger.session, attempt)
            accepted = quota.take(new)
        if accepted:
            ledger.add_segment(attempt, trial, end, accepted, part.gap if part.offset == end else 0)
        end += len(new)
        if quota is not None and len(accepted) < len(new) and not quota.is_cut:
            ledger.add_segment(attempt, trial, end, b"", len(new) - len(accepted))
            quota.is_cut = True
    return end


class _QuotaBehindHead:
    """Remaining quota of a log behind its head. Computed from the segments: such long logs are rare."""

    def __init__(self, session: Session, attempt: str) -> None:
        lengths = logs.newest_lengths(session, attempt, _HEAD, _TAIL_SEGMENTS)
        self.is_cut = 0 in lengths
        self._bytes = _TAIL_BYTES - sum(lengths)
        self._segments = _TAIL_SEGMENTS - len(lengths)

    def take(self, data: bytes) -> bytes:
        """Return the prefix of `data` that fits and reduce the quota."""
        if self.is_cut or self._segments <= 0:
            return b""
        prefix = data[: max(0, self._bytes)]
        self._bytes, self._segments = self._bytes - len(prefix), self._segments - 1
        return prefix
