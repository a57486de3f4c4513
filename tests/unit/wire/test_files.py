"""Decoding of the calls about files."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestune.errors import InvalidCall
from orchestune.wire.files import (
    KeepArtifacts,
    PublishCheckpoint,
    UploadedArtifact,
    decode_artifacts,
    decode_checkpoint,
)

DIGEST = "0123456789abcdef" * 4
OWNED = {"attempt": "a", "token": 3}
FILE = {"path": "model.bin", "digest": DIGEST, "size": 7}


def artifacts(**fields: Any) -> KeepArtifacts:
    return decode_artifacts(json.dumps(OWNED | {"files": [FILE]} | fields).encode())


def checkpoint(**fields: Any) -> PublishCheckpoint:
    return decode_checkpoint(json.dumps(OWNED | {"digest": DIGEST} | fields).encode())


def test_artifacts_are_the_last_of_their_attempt_unless_the_call_says_otherwise() -> None:
    files = (UploadedArtifact("model.bin", DIGEST, 7),)
    assert artifacts() == KeepArtifacts(attempt="a", token=3, files=files, more=False, refused=None)
    assert artifacts(more=True).more


def test_a_refusal_has_no_nul_characters_which_postgresql_cannot_store() -> None:
    assert artifacts(refused="the disk\0is full\0").refused == "the disk\ufffdis full\ufffd"
    assert artifacts(refused="the disk is full").refused == "the disk is full"
    assert artifacts(refused=None).refused is None


def test_a_checkpoint_needs_neither_step_nor_age_nor_size() -> None:
    bare = PublishCheckpoint(attempt="a", token=3, digest=DIGEST, step=None, age=None, size=None)
    assert checkpoint() == checkpoint(step=None, age=None, size=None) == bare


def test_steps_keep_their_type_and_every_digit() -> None:
    exact = 2**53 + 1
    assert (checkpoint(step=exact).step, checkpoint(step=2.5).step) == (exact, 2.5)


def test_age_and_size_of_a_checkpoint_are_numbers() -> None:
    published = checkpoint(age=1.5, size=2**40)
    assert (published.age, published.size) == (1.5, 2**40)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"attempt":"a","token":1}', b"\xff", b"[" * 100_000])
def test_an_invalid_body_is_refused(body: bytes) -> None:
    for decode in (decode_artifacts, decode_checkpoint):
        with pytest.raises(InvalidCall):
            decode(body)
