"""Responses of the server to workers. docs/reference/protocol.md describes each field."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchestune.domain.lifecycle.states import Reason

Result = Literal["ok", "superseded", "unknown", "rejected"]

_ENCODER = msgspec.json.Encoder()


class Ack(Struct, frozen=True):
    """The acknowledgement of one report. `message`: the path and the reason of one that was rejected."""

    attempt: str
    result: Result
    message: str | UnsetType = UNSET


class ReasonDocument(Struct, frozen=True):
    """A reason: a code for programs and a message for users."""

    code: str
    message: str

    @classmethod
    def of(cls, reason: Reason) -> ReasonDocument:
        """Return the document of a reason."""
        return cls(reason.code.value, reason.message)


class StopOrder(Struct, frozen=True, kw_only=True):
    """Order to stop an attempt, whose final `state` will be cancelled, pruned or preempted.

    `grace`: seconds between SIGTERM and SIGKILL, if they differ from the job's.
    """

    attempt: str
    order: Literal["stop"] = "stop"
    state: str
    reason: ReasonDocument
    grace: float | UnsetType = UNSET


class CheckpointToResume(Struct, frozen=True):
    """Digest of the checkpoint from which an attempt resumes, and the step at which it was published."""

    digest: str
    step: float | None


class Lease(Struct, frozen=True, kw_only=True):
    """An attempt assigned to the worker. `token` is a fencing token: reports with an older one are ignored."""

    attempt: str
    token: int
    number: int
    trial: int
    fold: int
    folds: int
    parameters: Raw  # a JSON object, forwarded as stored
    seed: int
    revision: int
    bundle: str | None
    gpus: list[str]
    report: str
    checkpoint: CheckpointToResume | None


class KeepRule(Struct, frozen=True):
    """Files to upload from each trial: patterns, and the limit of their total size in bytes."""

    patterns: list[str]
    limit: int


class ConfigFile(Struct, frozen=True):
    """Template of the user's configuration file: texts, and `[parameter, original text]` between them.

    `path`: that of the file in the folder of the command, where the copy replaces it; empty if it is not there.
    """

    name: str
    parts: list[str | list[str]]
    path: str = ""


class ConstantLine(Struct, frozen=True):
    """A line of a script: its number, counted from 1, and its texts, with `[parameter, original text]` between them."""

    number: int
    parts: list[str | list[str]]


class ConstantLines(Struct, frozen=True):
    """Lines with constants of the script at `path`, to be replaced in each trial's copy of it."""

    path: str
    lines: list[ConstantLine]


class MetricSourceDocument(Struct, frozen=True):
    """A file or a regular expression from which metrics are parsed."""

    kind: str
    where: str


class JobDocument(Struct, frozen=True, kw_only=True):
    """Settings of all trials of one revision. Durations in seconds; `cap_bytes` is the size limit of a stored log."""

    revision: int
    run: str | list[str]
    metrics: list[str]
    parameters: list[str]
    inherited: dict[str, str]
    env: dict[str, str]
    secrets: dict[str, str]
    timeout: float | None
    grace: float
    keep: KeepRule
    checkpoint_every: float | None
    config: ConfigFile | None
    constants: ConstantLines | None
    stdin: str
    cpu: float | None
    pin: int
    gpu: float
    preload: list[str]
    collect: list[MetricSourceDocument]
    root: str | None
    folder: str
    links: list[str]
    cap_bytes: int


class Registered(Struct, frozen=True, kw_only=True):
    """The response to `register`: heartbeat interval, lease duration, number of slots, and the revision's job."""

    protocol: int
    experiment: str
    handle: str
    token: str
    name: str
    beat_seconds: float
    lease_seconds: float
    slots: int
    job: JobDocument


class Uploaded(Struct, frozen=True):
    """Number of bytes of an upload received so far."""

    size: int


class KeptArtifacts(Struct, frozen=True):
    """The paths stored as artifacts; empty if a newer attempt has replaced the one that produced them."""

    kept: list[str]


class Published(Struct, frozen=True):
    """`accepted`: True if the checkpoint is now the fold's; False if a newer attempt was leased."""

    accepted: bool


class WorkAnswer(Struct, frozen=True, kw_only=True):
    """The response to a `work` call.

    `drain`: request no more leases and shut down; `again`: then register again, for another experiment; `pause`: the
    minimum of seconds until the next call without an ended attempt, if it is longer than the worker's own.
    """

    acks: list[Ack]
    orders: list[StopOrder]
    leases: list[Lease]
    slots: int
    drain: bool
    again: bool
    pause: float | UnsetType = UNSET

    @property
    def has_news(self) -> bool:
        """True if the response must be sent at once, not at the end of the long poll."""
        return bool(self.leases or self.orders or self.acks or self.drain)


def encode(document: object) -> bytes:
    """Serialize a response as JSON."""
    return _ENCODER.encode(document)
