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
    """A code for programs and a sentence for people."""

    code: str
    message: str

    @classmethod
    def of(cls, reason: Reason) -> ReasonDocument:
        """Return the document of a reason."""
        return cls(reason.code.value, reason.message)


class StopOrder(Struct, frozen=True, kw_only=True):
    """Stop an attempt, and report it in `state`: cancelled, pruned or preempted.

    `grace`: seconds until it is killed, if they are not those of its job.
    """

    attempt: str
    order: Literal["stop"] = "stop"
    state: str
    reason: ReasonDocument
    grace: float | UnsetType = UNSET


class CheckpointToResume(Struct, frozen=True):
    """The blob from which an attempt resumes, and the step at which it was published."""

    digest: str
    step: float | None


class Lease(Struct, frozen=True, kw_only=True):
    """An attempt that the worker is to run. `token` fences it: reports with an older one are ignored."""

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
    """Files to keep of each trial: patterns, and the limit of their sizes together in bytes."""

    patterns: list[str]
    limit: int


class ConfigFile(Struct, frozen=True):
    """The user's configuration file, cut at parameters: `[name, text without it]`."""

    name: str
    parts: list[str | list[str]]


class MetricSourceDocument(Struct, frozen=True):
    """A file or an expression from which metrics are read."""

    kind: str
    where: str


class JobDocument(Struct, frozen=True, kw_only=True):
    """What all trials of one revision share. Durations in seconds, `cap_bytes` is the most that is kept of a log."""

    revision: int
    run: str | list[str]
    metrics: list[str]
    parameters: list[str]
    env: dict[str, str]
    secrets: dict[str, str]
    timeout: float | None
    grace: float
    keep: KeepRule
    checkpoint_every: float | None
    config: ConfigFile | None
    stdin: str
    cpu: float | None
    pin: int
    gpu: float
    preload: list[str]
    collect: list[MetricSourceDocument]
    root: str | None
    links: list[str]
    cap_bytes: int


class Registered(Struct, frozen=True, kw_only=True):
    """The answer to `register`: how often to report, how many attempts to run at once, and the job of the revision."""

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
    """How many bytes of an upload have arrived."""

    size: int


class KeptArtifacts(Struct, frozen=True):
    """The paths that became artifacts; none if a newer attempt has replaced the one that left them."""

    kept: list[str]


class Published(Struct, frozen=True):
    """True if the checkpoint is that of its fold now; False if a newer attempt was leased."""

    accepted: bool


class WorkAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a `work` call. `drain`: take no leases and end; `again`: register for another experiment then."""

    acks: list[Ack]
    orders: list[StopOrder]
    leases: list[Lease]
    slots: int
    drain: bool
    again: bool

    @property
    def has_news(self) -> bool:
        """True if the worker has to hear it now."""
        return bool(self.leases or self.orders or self.acks or self.drain)


def encode(document: object) -> bytes:
    """Serialize a response as JSON."""
    return _ENCODER.encode(document)
