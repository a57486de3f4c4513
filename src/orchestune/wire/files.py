"""Calls that commit files of attempts: artifacts and checkpoints, whose bytes have been uploaded before."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from orchestune.wire.decoding import Count, Digest, Id, Seconds, Text, decoded, replace_nul

MAX_FILES = 1_000  # files in one call; workers send at most 100


class UploadedArtifact(Struct, frozen=True):
    """A file below the attempt's folder, and the digest and size in bytes of what was uploaded for it."""

    path: Annotated[str, Meta(max_length=4096)]
    digest: Digest
    size: Count


class KeepArtifacts(Struct, frozen=True, kw_only=True):
    """Turn uploads into artifacts. `more`: further files of the attempt will come in other calls.

    `refused` says why files that are missing will not come; then `files` are not looked at.
    """

    attempt: Id
    token: Count
    files: Annotated[tuple[UploadedArtifact, ...], Meta(max_length=MAX_FILES)]
    more: bool = False
    refused: Text | None = None

    def __post_init__(self) -> None:
        replace_nul(self, "refused")


class PublishCheckpoint(Struct, frozen=True, kw_only=True):
    """Make an upload the checkpoint of the attempt's fold.

    `step` is the last one that the attempt reported; `age` is how long ago its files stood still. `size` in bytes.
    """

    attempt: Id
    token: Count
    digest: Digest
    step: int | float | None = None
    age: Seconds | None = None
    size: Count | None = None


_ARTIFACTS = msgspec.json.Decoder(KeepArtifacts)
_CHECKPOINT = msgspec.json.Decoder(PublishCheckpoint)


def decode_artifacts(body: bytes) -> KeepArtifacts:
    """Decode a call that commits artifacts. Raises InvalidCall if it is malformed."""
    return decoded(_ARTIFACTS, body)


def decode_checkpoint(body: bytes) -> PublishCheckpoint:
    """Decode a call that publishes a checkpoint. Raises InvalidCall if it is malformed."""
    return decoded(_CHECKPOINT, body)
