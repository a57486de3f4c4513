"""What the server answers to workers. docs/reference/protocol.md explains each field."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from orchestune.domain.states import Reason

Result = Literal["ok", "superseded", "unknown", "rejected"]

_ENCODER = msgspec.json.Encoder()


class Ack(Struct, frozen=True, omit_defaults=True):
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
    parameters: Raw  # a JSON object, as the store has it
    seed: int
    revision: int
    bundle: str | None
    gpus: list[str]
    report: str
    checkpoint: CheckpointToResume | None


class Answer(Struct, frozen=True, kw_only=True):
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


def encode(document: Struct) -> bytes:
    """Return the document as JSON."""
    return _ENCODER.encode(document)
