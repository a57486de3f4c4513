"""Storage of the attempt logs that workers send, with a size limit that the server enforces as well."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.services.execution.locked_experiment import Ledger
from orchestune.store import logs
from orchestune.store.session import Session
from orchestune.wire.work import LogPart
from orchestune.worker.output import MAX_TAIL_BYTES

LOG_CAP = 64 * 2**20
_HEAD = LOG_CAP - MAX_TAIL_BYTES
"""bytes; a worker sends the log up to here, and only the last `MAX_TAIL_BYTES` bytes of the rest"""
_TAIL_BYTES, _TAIL_SEGMENTS = 2 * MAX_TAIL_BYTES, 2000
"""behind the head; an honest worker needs half the bytes, far fewer parts"""
_PARTS_OF_A_CALL = 16  # a worker sends two parts, and adjacent ones are joined
_MAX_SEGMENTS = 300_000  # of one attempt; a worker that has output in each heartbeat of 2 s needs a week for them


def append_logs(ledger: Ledger, attempt: str, trial: int, log_end: int, parts: Sequence[LogPart]) -> int:
    """Store the new parts of the log in order and return the end offset of the log in bytes.

    Bytes beyond the limit are dropped but acknowledged, since the worker would otherwise resend them forever. One empty
    segment with a gap marks the cut. Adjacent parts become one segment, since each segment is a row.
    """
    end = log_end
    quota: _QuotaBehindHead | None = None
    # No attempt can have more segments than its experiment has, which is known.
    is_full = ledger.row.log_seq >= _MAX_SEGMENTS and logs.has_segments(ledger.session, attempt, _MAX_SEGMENTS)
    for part, data in _joined(parts)[:_PARTS_OF_A_CALL]:
        if part.gap and part.offset >= end:
            end = part.offset  # not a lost part: the worker itself dropped `gap` bytes here
        elif part.offset > end:
            break  # an earlier part is missing: the worker will resend it
        elif part.offset + len(data) <= end:
            continue
        accepted = new = data[end - part.offset :]
        if end >= _HEAD or is_full:
            quota = quota or _QuotaBehindHead(ledger.session, attempt, is_full)
            accepted = quota.take(new)
        if accepted:
            ledger.add_segment(attempt, trial, end, accepted, part.gap if part.offset == end else 0)
        end += len(new)
        if quota is not None and len(accepted) < len(new) and not quota.is_cut:
            ledger.add_segment(attempt, trial, end, b"", len(new) - len(accepted))
            quota.is_cut = True
    return end


def _joined(parts: Sequence[LogPart]) -> list[tuple[LogPart, bytes]]:
    """Return the parts that begin a segment, each with its bytes and those of the adjacent parts that follow it."""
    runs: list[tuple[LogPart, bytearray]] = []
    for part in parts:
        if runs and not part.gap and part.offset == runs[-1][0].offset + len(runs[-1][1]):
            runs[-1][1].extend(part.data)
        else:
            runs.append((part, bytearray(part.data)))
    return [(part, bytes(data)) for part, data in runs]


class _QuotaBehindHead:
    """Remaining quota of a log behind its head. Computed from the segments: such long logs are rare.

    `is_full`: the attempt has as many segments as it may have, wherever they are.
    """

    def __init__(self, session: Session, attempt: str, is_full: bool) -> None:
        lengths = logs.newest_lengths(session, attempt, 0 if is_full else _HEAD, 1 if is_full else _TAIL_SEGMENTS)
        self.is_cut = 0 in lengths
        self._bytes = _TAIL_BYTES - sum(lengths)
        self._segments = 0 if is_full else _TAIL_SEGMENTS - len(lengths)

    def take(self, data: bytes) -> bytes:
        """Return the prefix of `data` that fits and reduce the quota."""
        if self.is_cut or self._segments <= 0:
            return b""
        prefix = data[: max(0, self._bytes)]
        self._bytes, self._segments = self._bytes - len(prefix), self._segments - 1
        return prefix
