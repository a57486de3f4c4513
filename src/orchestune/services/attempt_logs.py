"""The log of an attempt as its worker sends it, and the limit on its bytes, which the server enforces too."""

from __future__ import annotations

from collections.abc import Sequence

from orchestune.services.ledger import Ledger
from orchestune.store import logs
from orchestune.store.session import Session
from orchestune.wire.work import LogPart
from orchestune.worker.output import TAIL

LOG_CAP = 64 * 2**20
_HEAD = LOG_CAP - TAIL  # bytes; a worker sends the beginning up to here, and of what follows the last `TAIL`
_TAIL_BYTES, _TAIL_SEGMENTS = 2 * TAIL, 2000  # stored behind the head; a worker sends half of it, in far fewer parts


def append_logs(ledger: Ledger, attempt: str, trial: int, log_end: int, parts: Sequence[LogPart]) -> int:
    """Store the parts of the log that are new, in order, and return the end of the log in bytes.

    What is over the limit is dropped, and counts as received: its worker would send it for ever. An empty segment with
    a gap stands for it, once.
    """
    end = log_end
    room: _RoomBehindHead | None = None
    for part in parts:
        data = part.data
        if part.gap and part.offset >= end:
            end = part.offset  # the worker dropped `gap` bytes before this part
        elif part.offset > end:
            break  # a part before this one did not arrive: it will come again
        elif part.offset + len(data) <= end:
            continue
        kept = new = data[end - part.offset :]
        if end >= _HEAD:
            room = room or _RoomBehindHead(ledger.session, attempt)
            kept = room.take(new)
        if kept:
            ledger.add_segment(attempt, trial, end, kept, part.gap if part.offset == end else 0)
        end += len(new)
        if room is not None and len(kept) < len(new) and not room.is_cut:
            ledger.add_segment(attempt, trial, end, b"", len(new) - len(kept))
            room.is_cut = True
    return end


class _RoomBehindHead:
    """What may still be stored of a log behind its head. No column counts it: a log so long is rare."""

    def __init__(self, session: Session, attempt: str) -> None:
        lengths = logs.newest_lengths(session, attempt, _HEAD, _TAIL_SEGMENTS)
        self.is_cut = 0 in lengths
        self._bytes = _TAIL_BYTES - sum(lengths)
        self._segments = _TAIL_SEGMENTS - len(lengths)

    def take(self, data: bytes) -> bytes:
        """Return the beginning of `data` that is to be stored."""
        if self.is_cut or self._segments <= 0:
            return b""
        kept = data[: max(0, self._bytes)]
        self._bytes, self._segments = self._bytes - len(kept), self._segments - 1
        return kept
