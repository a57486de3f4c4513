"""The public format of a record: what each line of `experiments/ID.jsonl.gz` may contain.

docs/reference/record-format.md explains it, and says how long old versions are read. A field that is added, or gets
another meaning, makes a new version. Times are seconds since 1970 in UTC, sizes bytes. Nested documents (`Json`) stay
bytes here, so that a hostile one takes no more memory than its own length; callers parse those that they use.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

from orchestune.domain.lifecycle.states import AttemptState, ExperimentState, FoldState, ReasonCode, TrialState

FORMAT = "orchestune-record"
VERSION = 1

_INT32, _INT64 = 2**31 - 1, 2**63 - 1  # largest values of the store's columns
_MAX_TIME = 253_402_300_799.0  # the end of the year 9999, the last that has a text
MAX_TEXT = 4 * 2**20  # characters of a text
MAX_JSON = 4 * 2**20  # bytes of a nested document


def _json(description: str, *kinds: str) -> Meta:
    """Return the metadata of a nested document; one that may be missing has the kind `null`."""
    return Meta(description=description, extra_json_schema={"type": list(kinds or ("object",))})


_END = r"$(?!\n)"  # a mere `$` of Python matches before a newline at the end, too
Id = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{_END}")]
Digest = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{64}}{_END}", description="a SHA-256 in hex")]
Handle = Annotated[str, Meta(pattern=rf"^[0-9a-z]+(-[0-9a-z]+)*{_END}", max_length=64)]
Word = Annotated[str, Meta(max_length=64)]
Line = Annotated[str, Meta(max_length=10_000)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Whole = Annotated[int, Meta(ge=0, le=_INT32)]
Signed = Annotated[int, Meta(ge=-_INT32 - 1, le=_INT32)]
Size = Annotated[int, Meta(ge=0, le=_INT64, description="bytes")]
Time = Annotated[float, Meta(ge=0, le=_MAX_TIME, description="seconds since 1970, UTC")]
Number: TypeAlias = float  # JSON has only finite ones
Reason = Annotated[Raw, _json("`{code, message}`; null if there is none", "object", "null")]
Checkpoint = Annotated[Raw, _json("`{attempt, digest, step}` of the newest one", "object", "null")]


class Head(Struct, frozen=True, tag="record", forbid_unknown_fields=True):
    """The first line."""

    software: Annotated[Word, Meta(description="the version of Orchestune that wrote it")]
    experiment: Annotated[Id, Meta(description="the experiment's id")]
    handle: Handle
    files: Annotated[
        dict[Digest, Size], Meta(description="code, artifacts and checkpoints, stored beside the record as `blobs/`")
    ]
    events: Annotated[Whole, Meta(description="number of the last event; of two records, the newer one has more")]
    format: str = FORMAT
    version: Annotated[int, Meta(ge=1)] = VERSION


class ExperimentItem(Struct, frozen=True, tag="experiment", forbid_unknown_fields=True):
    """The experiment in its final state. There is one, after the head."""

    id: Id
    handle: Handle
    name: Line
    owner: Annotated[str, Meta(max_length=1000)]
    cluster: Word
    folder: Line
    state: ExperimentState
    reason: Reason
    ended_by: Annotated[ReasonCode | None, Meta(description="the stop rule that ended it")]
    specification: Annotated[Raw, _json("content of the experiment file, of the last revision")]
    launch: Annotated[Raw, _json("`{env, root, links}` of the caller, without secrets")]
    labels: Annotated[Raw, _json("name → text")]
    bundle: Annotated[Digest | None, Meta(description="the code, one of `files`")]
    rerun_of: Annotated[str, Meta(pattern=rf"^[0-9a-z-]+/[0-9]{{1,10}}{_END}", description="HANDLE/NUMBER")] | None
    revision: Whole
    budget: Annotated[Whole, Meta(description="trials")]
    parallelism: Annotated[Whole, Meta(description="attempts at a time")]
    priority: Signed
    waived_guards: Annotated[Raw, _json("codes of the guards that were passed or waived", "array")]
    is_exhausted: Annotated[bool, Meta(description="all configurations of its space were tried")]
    last_trial: Annotated[Whole, Meta(description="the highest number")]
    last_event: Whole
    last_log: Whole
    last_worker: Whole
    results: Annotated[
        Whole, Meta(description="number of finished trials, which are numbered in the order in which they finished")
    ]
    best_trial: Whole | None
    best_value: Number | None
    trials_since_best: Whole
    best_by_fold: Annotated[Raw, _json("the best value of any trial in each fold", "array", "object", "null")]
    identical_digest: Word | None
    identical_count: Annotated[Whole, Meta(description="completed trials, counted while all have the same metrics")]
    memory_samples: Annotated[Whole, Meta(description="attempts whose memory was measured")]
    peak_memory: Size
    memory_surprises: Annotated[Whole, Meta(description="attempts that used more than earlier ones suggested")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    files_deleted_at: Time | None
    imported_at: Time | None


class RevisionItem(Struct, frozen=True, tag="revision", forbid_unknown_fields=True):
    """The specification of one revision."""

    revision: Whole
    specification: Annotated[Raw, _json("content of the experiment file")]
    launch: Annotated[Raw, _json("`{env, root, links}`; null: the experiment's", "object", "null")]
    actor: Line
    at: Time


class WarmStartItem(Struct, frozen=True, tag="warm_start", forbid_unknown_fields=True):
    """Earlier results that the search began with (warm start)."""

    source: Text
    count: Whole
    results: Annotated[Raw, _json("`{parameters, state, metrics}` of each", "array")]


class WorkerItem(Struct, frozen=True, tag="worker", forbid_unknown_fields=True):
    """A process that ran attempts."""

    id: Id
    cluster: Word
    name: Word
    reason: Text | None
    node: Line
    slots: Whole
    memory: Annotated[Size, Meta(description="bytes of each slot; 0: as specified")]
    gpus: Annotated[Raw, _json("the GPUs of each slot", "array", "null")]
    previous_experiment: Annotated[Word | None, Meta(description="handle of the experiment that it served before")]
    protocol: Whole | None
    version: Word | None
    capabilities: Annotated[Raw, _json("its capabilities", "array", "null")]
    succeeded: Whole
    failed: Whole
    created_at: Time
    seen_at: Time | None
    ended_at: Time | None


class TrialItem(Struct, frozen=True, tag="trial", forbid_unknown_fields=True):
    """A configuration and its outcome."""

    number: Whole
    state: Annotated[TrialState, Meta(description="completed, failed, pruned or cancelled")]
    reason: Reason
    parameters: Annotated[Raw, _json("name → value")]
    source: Annotated[Word, Meta(description="engine, user, try_first, …")]
    engine_version: Word | None
    suggested_after: Annotated[Whole | None, Meta(description="number of results that the engine knew")]
    result: Annotated[Whole | None, Meta(description="its position among the finished trials; null if cancelled")]
    parent: Annotated[Whole | None, Meta(description="the trial that it reruns")]
    seed: Size
    bundle: Digest | None
    revision: Whole
    checkpoint: Annotated[
        Raw, _json("`{attempt, digest, step}` of the checkpoint that it began with", "object", "null")
    ]
    lost_attempts: Whole
    is_isolated: Annotated[bool, Meta(description="it ran alone, because it lost its worker repeatedly")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class MetricItem(Struct, frozen=True, tag="metric", forbid_unknown_fields=True):
    """The final value of a metric of a trial."""

    trial: Whole
    name: Text
    value: Number
    stddev: Number | None
    is_declared: Annotated[bool, Meta(description="declared in the specification")]


class FoldItem(Struct, frozen=True, tag="fold", forbid_unknown_fields=True):
    """One fold of a trial; a trial without folds has fold 0."""

    trial: Whole
    fold: Whole
    state: FoldState
    metrics: Annotated[Raw, _json("name → `{value, stddev}`, null until it is done", "object", "null")]
    checkpoint: Checkpoint
    attempts: Annotated[Whole, Meta(description="number of leases")]
    failures: Whole
    is_isolated: bool
    memory: Annotated[Size, Meta(description="bytes of its next attempt; 0: as specified")]
    memory_raises: Whole


class AttemptItem(Struct, frozen=True, tag="attempt", forbid_unknown_fields=True):
    """One execution of a fold."""

    id: Id
    trial: Whole
    fold: Whole
    attempt_number: Annotated[Whole, Meta(description="from 1 in each fold")]
    state: Annotated[AttemptState, Meta(description="not leased or running")]
    stop_order: Annotated[AttemptState | None, Meta(description="final state that the server ordered")]
    reason: Reason
    worker: Id
    node: Line
    gpus: Annotated[Raw, _json("indices of its GPUs", "array", "null")]
    exit_code: Signed | None
    signal: Signed | None
    leased_at: Time
    started_at: Time | None
    finished_at: Time | None
    wall_seconds: Number | None
    cpu_seconds: Number | None
    peak_memory: Size | None
    points: Annotated[Whole, Meta(description="number of reported values")]
    log_end: Annotated[Size, Meta(description="bytes of its output that were received, including gaps")]
    log_bytes: Annotated[Size | None, Meta(description="total bytes of its output")]
    log_tail: Text | None
    raised_memory: Annotated[Size | None, Meta(description="bytes, if an attempt before it ran out of memory")]
    resumed_from: Annotated[Raw, _json("`{attempt, step}`", "object", "null")]
    non_finite: Annotated[Raw, _json("name → `[text, step]` of last values that are not finite", "object", "null")]


class PointItem(Struct, frozen=True, tag="point", forbid_unknown_fields=True):
    """A value that an attempt reported while it ran."""

    attempt: Id
    name: Text
    sequence: Annotated[Whole, Meta(description="number of the value among those of one name in one attempt")]
    value: Number
    step: Number | None
    stddev: Number | None
    at: Time


class UsageItem(Struct, frozen=True, tag="usage", forbid_unknown_fields=True):
    """The resource usage of an attempt over time."""

    attempt: Id
    samples: Annotated[Raw, _json("`[number, seconds, cores, memory, gpu_share, gpu_memory]` of each", "array")]


class ObservationItem(Struct, frozen=True, tag="observation", forbid_unknown_fields=True):
    """The state of a trial when early stopping evaluated it; values are losses."""

    trial: Whole
    fold: Whole
    step: Number
    sequence: Size
    loss: Number
    best: Number
    mean: Number


class ArtifactItem(Struct, frozen=True, tag="artifact", forbid_unknown_fields=True):
    """A file that a trial produced; its content is the blob `digest` in `files`."""

    trial: Whole
    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    attempt: Id
    digest: Digest
    size: Size
    created_at: Time


class EventItem(Struct, frozen=True, tag="event", forbid_unknown_fields=True):
    """An event, in order."""

    number: Whole
    at: Time
    actor: Text
    kind: Word
    data: Annotated[Raw, _json("fields of its kind")]


class LogItem(Struct, frozen=True, tag="log", forbid_unknown_fields=True):
    """A part of an attempt's output."""

    number: Whole
    attempt: Id
    trial: Whole
    offset: Annotated[Size, Meta(description="offset of its first byte in the attempt's output")]
    gap: Annotated[Size, Meta(description="number of bytes dropped before it")]
    at: Time
    data: Annotated[bytes, Meta(description="in base64")]


class EndItem(Struct, frozen=True, tag="end", forbid_unknown_fields=True):
    """The last line: without it, the record is truncated."""

    counts: Annotated[dict[Word, Size], Meta(description="number of lines of each type")]
    sha256: Annotated[Digest, Meta(description="of all lines before this one")]
    signature: Annotated[
        str, Meta(max_length=64, description="signature of the server that wrote it; empty: unsigned")
    ] = ""


Item: TypeAlias = (
    ExperimentItem | RevisionItem | WarmStartItem | WorkerItem | TrialItem | MetricItem | FoldItem | AttemptItem
    | PointItem | UsageItem | ObservationItem
    | ArtifactItem | EventItem | LogItem
)  # fmt: skip
"""lines between head and end"""
ITEMS: tuple[type[Item], ...] = (
    ExperimentItem, RevisionItem, WarmStartItem, WorkerItem, TrialItem, MetricItem, FoldItem, AttemptItem, PointItem,
    UsageItem, ObservationItem, ArtifactItem, EventItem,
    LogItem,
)  # fmt: skip
"""item types in the order of a record"""


def _is_nullable(annotation: Any) -> bool:
    """Return True for a nested document that may be null: msgspec has no union of `Raw` and None."""
    metadata = getattr(annotation, "__metadata__", ())
    return any("null" in (meta.extra_json_schema or {}).get("type", ()) for meta in metadata)


NULLABLE = frozenset(
    (item, field.name) for item in ITEMS for field in msgspec.structs.fields(item) if _is_nullable(field.type)
)
"""nested documents that may be null"""
ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""errors of decoding an invalid line"""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Item | EndItem)
_HEAD = msgspec.json.Decoder(Head)


class _Version(Struct):
    format: str
    version: int


_VERSION = msgspec.json.Decoder(_Version)


def type_of(item: Struct | type[Struct]) -> str:
    """Return the `type` of a line."""
    return str(item.__struct_config__.tag)


def encode(line: Struct) -> bytes:
    """Return a line with its end."""
    return _ENCODER.encode(line) + b"\n"


def decode(line: bytes) -> Item | EndItem:
    """Return the item of a line after the head. Raises one of `ERRORS` if it is invalid."""
    item: Item | EndItem = _DECODER.decode(line)
    return item


def version_of(line: bytes) -> int | None:
    """Return the version of the format from a first line, None if it is not a record's."""
    try:
        first = _VERSION.decode(line)
    except ERRORS:
        return None
    return first.version if first.format == FORMAT else None


def decode_head(line: bytes) -> Head:
    """Return the head from the first line. Raises one of `ERRORS` if it is invalid."""
    return _HEAD.decode(line)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{FORMAT} version {VERSION}",
        "description": "One line of the record of an experiment.",
        **msgspec.json.schema(Head | Item | EndItem),
    }


_NON_JSON_NUMBERS = re.compile(r"\b(NaN|Infinity)\b")


def raw(text: str | None) -> Raw:
    """Return JSON text of the store as a part of a line. Python's NaN and Infinity become null."""
    if text is None:
        return Raw(b"null")
    if "\n" in text or _NON_JSON_NUMBERS.search(text):
        return Raw(msgspec.json.encode(json.loads(text)))  # msgspec encodes numbers that are not finite as null
    return Raw(text.encode())
