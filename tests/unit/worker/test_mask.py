"""Secrets in streams."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker.mask import HIDDEN, Mask, spellings

SECRETS = st.lists(st.text(st.sampled_from("abc"), min_size=4, max_size=7), min_size=1, max_size=3)


@given(SECRETS, st.text(st.sampled_from("abc "), max_size=60), st.lists(st.integers(0, 60), max_size=10))
def test_no_secret_is_shown_however_the_stream_is_cut(secrets: list[str], text: str, cuts: list[int]) -> None:
    data = text.encode()
    mask = Mask(spellings(secrets))
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    output = b""
    for start, stop in pairwise(borders):
        output += mask.feed(data[start:stop])
    output += mask.flush()
    assert not any(secret.encode() in piece for secret in secrets for piece in output.split(HIDDEN))
    if not any(secret in text for secret in secrets):
        assert output == data


def test_a_stream_without_secrets_is_not_held_back() -> None:
    assert Mask([]).feed(b"abc") == b"abc"
    assert Mask(spellings(["secret"])).feed(b"nothing here\n") == b"nothing here\n"


def test_encodings_and_lines_of_a_secret_are_hidden_too() -> None:
    mask = Mask(spellings(["p@ss/word", "first line\nsecond line"]))
    text = b"p%40ss%2Fword p@ss/word second line first line\\nsecond line"
    assert mask.once(text) == b"*** *** *** ***"


@pytest.mark.parametrize("secret", ['p@ss"w\\1234567', """it's "both" \\ and\tmore""", "caf\xe9\x1b'\\"])
def test_a_secret_is_hidden_as_python_shows_it(secret: str) -> None:
    text = f"{secret!r} {[secret, secret]}".encode()
    output = Mask(spellings([secret])).once(text).decode()
    assert output.replace('"', "'") == "'***' ['***', '***']"


def test_values_that_are_no_secrets_do_not_shred_the_log() -> None:
    assert spellings(["", "1", "abc"]) == []
