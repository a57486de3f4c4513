"""The `work` call: a worker's heartbeat with the reports of its attempts and the number of requested leases.

A call is decoded as a whole. Only if that fails are its reports decoded one by one, so that an invalid report affects
its own attempt only and neither delays nor loses the reports of others.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import force_setattr

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.domain.specification.metrics import FIRST_HTTP_SEQUENCE, Point, storable
from orchestune.errors import InvalidCall
from orchestune.wire.decoding import (
    ERRORS,
    INT32,
    MAX_STORED_TEXT,
    Age,
    Count,
    Id,
    Offset,
    Seconds,
    Text,
    decoded,
    replace_nul,
)

MAX_LIVE = 10_000  # attempts that run or whose end is not acknowledged; nodes have far fewer slots
MAX_ITEMS = 10_000  # reports in one call
MAX_POINTS = 10_000  # points in one report; workers send at most 2,000
MAX_PARTS = 1_000  # log parts, and usage samples, in one report; workers buffer at most 600 samples
MAX_PROBLEM = 1_000  # characters of the problem of a rejected report, which becomes the reason of its attempt
MAX_NAME = 500  # characters of a metric's name: databases limit the size of index entries

NonFinite = Literal["nan", "inf", "-inf"]


class LogPart(Struct, array_like=True, frozen=True, gc=False):
    """A part of an attempt's output: `[offset, text, gap]`, offset and gap in bytes."""

    offset: Offset
    text: str  # Latin-1: one byte per character U+0000 to U+00FF
    gap: Count

    def __post_init__(self) -> None:
        if not self.text.isascii() and max(self.text) > "\xff":
            raise ValueError("expected characters up to U+00FF, one for each byte")

    @property
    def data(self) -> bytes:
        """The bytes that the attempt wrote."""
        return self.text.encode("latin-1")


class Measurement(Struct, array_like=True, frozen=True, gc=False):
    """A value that an attempt reported: `[sequence, name, value, step, stddev]`.

    `sequence` counts the values of one name in one attempt from 0. JSON has no NaN and no infinities, so they come as
    text; they are measured outcomes like any other.
    """

    sequence: Annotated[int, Meta(ge=0, lt=FIRST_HTTP_SEQUENCE)]
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    value: float | NonFinite
    step: int | float | None
    stddev: float | None

    def __post_init__(self) -> None:
        replace_nul(self, "name")

    def point(self) -> Point:
        """Convert to the domain's type."""
        return Point(self.name, float(self.value), storable(self.step), self.stddev, self.sequence)


class UsageSample(Struct, array_like=True, frozen=True, gc=False):
    """Resource usage of an attempt at one time: `[number, age, cores, memory, gpu_share, gpu_memory]`.

    `age`: seconds since the attempt started; memory in bytes; `gpu_share` from 0 to 1. None if unknown.
    """

    number: Count
    age: Seconds
    cores: float
    memory: float
    gpu_share: float | None
    gpu_memory: float | None


class EndState(StrEnum):
    """Final state of an attempt as observed by its worker."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PRUNED = "pruned"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    LOST = "lost"


class EndReason(Struct, frozen=True, gc=False):
    """Reason for the end of an attempt."""

    code: ReasonCode
    message: Text

    def __post_init__(self) -> None:
        replace_nul(self, "message")
        if len(self.message) > MAX_STORED_TEXT:
            force_setattr(self, "message", self.message[: MAX_STORED_TEXT - 1] + "…")

    def reason(self) -> Reason:
        """Convert to the domain's type."""
        return Reason(self.code, self.message)


class AttemptReport(Struct, frozen=True):
    """Common fields of the reports on a running and on an ended attempt. `token`: fencing token of the lease."""

    attempt: Id
    token: Count
    logs: Annotated[tuple[LogPart, ...], Meta(max_length=MAX_PARTS)] = ()
    points: Annotated[tuple[Measurement, ...], Meta(max_length=MAX_POINTS)] = ()
    usage: Annotated[tuple[UsageSample, ...], Meta(max_length=MAX_PARTS)] = ()


class Heartbeat(AttemptReport, frozen=True):
    """A running attempt: its start, and its output and values since the last report. `age`: seconds since its start."""

    started: bool = False
    age: Age = 0.0


class Finished(AttemptReport, frozen=True, kw_only=True):
    """An attempt that ended. `wall` and `cpu` in seconds, `memory` and `log_bytes` in bytes; `tail`: last lines."""

    state: EndState
    exit_code: Annotated[int, Meta(ge=-INT32, le=INT32)] | None = None
    signal: Annotated[int, Meta(ge=0, le=INT32)] | None = None
    reason: EndReason | None = None
    wall: Age = 0.0
    cpu: Seconds = 0.0
    memory: Count = 0
    log_bytes: Count = 0
    tail: Text = ""
    files: Count = 0  # number of uploads still pending

    def __post_init__(self) -> None:
        replace_nul(self, "tail")
        if len(self.tail) > MAX_STORED_TEXT:
            force_setattr(self, "tail", self.tail[-MAX_STORED_TEXT:])


class Rejected(Struct, frozen=True):
    """An invalid report. `problem` contains the path of the invalid field and the expected type."""

    attempt: str | None  # None if it cannot be decoded either
    token: int | None
    problem: str


_HeartbeatT = TypeVar("_HeartbeatT", Heartbeat, Raw)
_FinishedT = TypeVar("_FinishedT", Finished, Raw)


class Envelope(Struct, Generic[_HeartbeatT, _FinishedT], frozen=True, kw_only=True):
    """The document of one call, its reports decoded or still as bytes. `Work` has the same fields."""

    boot: Id
    beat: Annotated[int, Meta(ge=0, le=INT32)]
    want: Annotated[int, Meta(ge=-INT32, le=INT32)]
    wait: float = 0.0
    live: Annotated[list[Id], Meta(max_length=MAX_LIVE)] | UnsetType = UNSET
    draining: bool = False
    sending: Count | UnsetType = UNSET
    beats: Annotated[list[_HeartbeatT], Meta(max_length=MAX_ITEMS)] = []
    finished: Annotated[list[_FinishedT], Meta(max_length=MAX_ITEMS)] = []


class Work(Struct, frozen=True, kw_only=True):
    """One call.

    `boot` identifies the worker's process, `beat` counts its calls, `want` is the number of leases that it can accept
    now.

    `wait`: maximum seconds of the long poll. `live`: attempts that it runs; None if not reported in this call.
    `sending`: number of pending uploads; None if not reported in this call.
    """

    boot: str
    beat: int
    want: int
    wait: float = 0.0
    live: tuple[str, ...] | None = None
    draining: bool = False
    sending: int | None = None
    beats: tuple[Heartbeat, ...] = ()
    finished: tuple[Finished, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    @property
    def has_news(self) -> bool:
        """True if the call changes anything that must not be forgotten, or may return leases.

        Usage samples may: a sample of each trial every ten seconds would make thousands of workers wait for the disk.
        """
        has_reports = any(not beat.usage or beat.logs or beat.points for beat in self.beats)
        return bool(has_reports or self.finished or self.rejected or self.want > 0)

    def as_poll(self) -> Work:
        """Return the call without the reports, for the next check during the long poll."""
        return msgspec.structs.replace(self, beats=(), finished=(), rejected=(), sending=None)


WorkDocument = Envelope[Heartbeat, Finished]

_WHOLE = msgspec.json.Decoder(WorkDocument)
_ENVELOPE = msgspec.json.Decoder(Envelope[Raw, Raw])
_BEAT = msgspec.json.Decoder(Heartbeat)
_FINISHED = msgspec.json.Decoder(Finished)


class _Lease(Struct, frozen=True):
    attempt: Id
    token: Count


_LEASE = msgspec.json.Decoder(_Lease)


def decode(body: bytes) -> Work:
    """Decode a call, with its invalid reports in `rejected`. Raises InvalidCall if the envelope is invalid."""
    try:
        call = _WHOLE.decode(body)
    except ERRORS:
        return _decode_one_by_one(body)
    return _work(call, tuple(call.beats), tuple(call.finished), ())


def _decode_one_by_one(body: bytes) -> Work:
    call = decoded(_ENVELOPE, body)
    rejected: list[Rejected] = []
    beats = _valid_items(_BEAT, call.beats, "beats", rejected)
    finished = _valid_items(_FINISHED, call.finished, "finished", rejected)
    return _work(call, beats, finished, tuple(rejected))


_Item = TypeVar("_Item")


def _valid_items(
    decoder: msgspec.json.Decoder[_Item], items: list[Raw], name: str, rejected: list[Rejected]
) -> tuple[_Item, ...]:
    """Return the valid items, and append the others to `rejected`."""
    valid = []
    for index, raw in enumerate(items):
        try:
            valid.append(decoder.decode(raw))
        except ERRORS as error:
            rejected.append(_rejected(raw, f"{name}[{index}]", error))
    return tuple(valid)


def _rejected(raw: Raw, path: str, error: Exception) -> Rejected:
    problem, _, inner = str(error).partition(" - at `$")
    text = f"{path}{inner.removesuffix('`')}: {problem}"[:MAX_PROBLEM]  # it may quote keys of the report
    try:
        lease = _LEASE.decode(raw)
    except ERRORS:
        return Rejected(None, None, text)
    return Rejected(lease.attempt, lease.token, text)


def _reject_duplicates(name: str, items: tuple[AttemptReport, ...]) -> None:
    """Raise InvalidCall if an attempt is reported twice: workers never do so, and each report costs statements."""
    if len({item.attempt for item in items}) < len(items):
        raise InvalidCall.one("contains an attempt more than once", key=name)


def _work(
    call: Envelope[Heartbeat, Finished] | Envelope[Raw, Raw],
    beats: tuple[Heartbeat, ...],
    finished: tuple[Finished, ...],
    rejected: tuple[Rejected, ...],
) -> Work:
    _reject_duplicates("beats", beats)
    _reject_duplicates("finished", finished)
    return Work(
        boot=call.boot,
        beat=call.beat,
        want=call.want,
        wait=call.wait,
        live=None if call.live is UNSET else tuple(call.live),
        draining=call.draining,
        sending=None if call.sending is UNSET else call.sending,
        beats=beats,
        finished=finished,
        rejected=rejected,
    )
