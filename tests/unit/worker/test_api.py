"""What a worker sends is text that any server can store."""

from __future__ import annotations

import json

import pytest

from orchestune.worker.api import encoded


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("caf\udce9.txt", "caf\ufffd.txt"),
        ("\ud800\ud800\udc00 \udc00", "\ufffd\U00010000 \ufffd"),
        ("\U0001f600", "\U0001f600"),
        (r"\ud800 \\ud800", r"\ud800 \\ud800"),
    ],
)
def test_half_of_a_pair_of_surrogates_is_sent_as_the_character_for_none(said: str, sent: str) -> None:
    assert json.loads(encoded({said: [said]})) == {sent: [sent]}
