"""Calls that commit uploaded files of attempts: artifacts and checkpoints."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from orchestune.wire.decoding import MAX_STORED_TEXT, Count, Digest, Id, Seconds, Text, decoded, replace_nul

MAX_FILES = 1_000  # files in one call; workers send at most 100


class UploadedArtifact(Struct, frozen=True):
    """A file below the attempt's folder, with the digest and the size in bytes of its upload."""

    path: Annotated[str, Meta(max_length=4096)]
    digest: Digest
    size: Count


class KeepArtifacts(Struct, frozen=True, kw_only=True):
    """Commit uploads as artifacts. `more`: further files of the attempt will follow in other calls.

    `refused`: the reason why missing files will not be uploaded; then `files` is ignored.
    """

    attempt: Id
    token: Count
    files: Annotated[tuple[UploadedArtifact, ...], Meta(max_length=MAX_FILES)]
    more: bool = False
    refused: Text | None = None

    def __post_init__(self) -> None:
        replace_nul(self, "refused")
        if self.refused is not None:
            force_setattr(self, "refused", self.refused[:MAX_STORED_TEXT])


class PublishCheckpoint(Struct, frozen=True, kw_only=True):
    """Publish an upload as the checkpoint of the attempt's fold.

    `step`: the last one that the attempt reported; `age`: seconds since the files were last modified; `size`: bytes.
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
