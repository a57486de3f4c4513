"""Each bound of the worker protocol: the last value that is accepted, and the first one that is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from orchestune.errors import InvalidCall
from orchestune.wire import files, registration, work

Fields = Mapping[str, Any]
Accepts = Callable[[Fields], bool]
ATTEMPT: Fields = {"attempt": "a", "token": 1}
FINISHED = {**ATTEMPT, "state": "succeeded"}
DIGEST = "0123456789abcdef" * 4
CHECKPOINT = {**ATTEMPT, "digest": DIGEST}
ARTIFACT = {"path": "model.bin", "digest": DIGEST, "size": 1}
REGISTRATION = {"protocol": 2, "boot": "b"}
INT32, INT64 = 2_147_483_647, 9_223_372_036_854_775_807


def accepts_call(fields: Fields) -> bool:
    """Return True if a `work` call with these fields is accepted whole."""
    body = json.dumps({"boot": "b", "beat": 1, "want": 0, **fields}).encode()
    try:
        return work.decode(body).rejected == ()
    except InvalidCall:
        return False


def accepts_end(fields: Fields) -> bool:
    return accepts_call({"finished": [{**FINISHED, **fields}]})


def accepts_beat(fields: Fields) -> bool:
    return accepts_call({"beats": [{**ATTEMPT, **fields}]})


def accepts_checkpoint(fields: Fields) -> bool:
    return _accepts(files.decode_checkpoint, {**CHECKPOINT, **fields})


def accepts_artifacts(fields: Fields) -> bool:
    return _accepts(files.decode_artifacts, {**ATTEMPT, "files": [], **fields})


def accepts_artifact(fields: Fields) -> bool:
    return accepts_artifacts({"files": [{**ARTIFACT, **fields}]})


def accepts_registration(fields: Fields) -> bool:
    return _accepts(registration.decode, {**REGISTRATION, **fields})


def _accepts(decode: Callable[[bytes], object], document: Fields) -> bool:
    try:
        decode(json.dumps(document).encode())
    except InvalidCall:
        return False
    return True


@pytest.mark.parametrize(
    ("accepts", "field", "least", "most"),
    [
        (accepts_call, "beat", 0, INT32), (accepts_call, "want", -INT32, INT32), (accepts_call, "sending", 0, INT64),
        (accepts_end, "token", 0, INT64), (accepts_end, "exit_code", -INT32, INT32), (accepts_end, "signal", 0, INT32),
        (accepts_end, "memory", 0, INT64), (accepts_end, "log_bytes", 0, INT64), (accepts_end, "files", 0, INT64),
        (accepts_checkpoint, "token", 0, INT64), (accepts_checkpoint, "size", 0, INT64),
        (accepts_artifacts, "token", 0, INT64), (accepts_artifact, "size", 0, INT64),
        (accepts_registration, "protocol", 0, INT32),
    ],
)  # fmt: skip
def test_whole_numbers_fit_into_the_column_of_the_database(accepts: Accepts, field: str, least: int, most: int) -> None:
    assert accepts({field: least}) and accepts({field: most})
    assert not accepts({field: least - 1}) and not accepts({field: most + 1})


@pytest.mark.parametrize(
    ("accepts", "field", "most"),
    [
        (accepts_beat, "age", 1e9),
        (accepts_end, "wall", 1e9),
        (accepts_end, "cpu", 1e12),
        (accepts_checkpoint, "age", 1e12),
    ],
)
def test_durations_are_not_negative_and_limited(accepts: Accepts, field: str, most: float) -> None:
    assert accepts({field: 0}) and accepts({field: most})
    assert not accepts({field: -5e-324}) and not accepts({field: math.nextafter(most, math.inf)})


@pytest.mark.parametrize(
    ("accepts", "field", "most"),
    [
        (accepts_call, "boot", 200), (accepts_end, "attempt", 200), (accepts_end, "tail", 65_536),
        (accepts_checkpoint, "attempt", 200), (accepts_artifacts, "attempt", 200),
        (accepts_artifacts, "refused", 65_536),
        (accepts_artifact, "path", 4_096),
        (accepts_registration, "boot", 200), (accepts_registration, "version", 200),
        (accepts_registration, "node", 255),
    ],
)  # fmt: skip
def test_texts_are_limited_by_their_characters(accepts: Accepts, field: str, most: int) -> None:
    assert accepts({field: "\u00e9" * most}) and not accepts({field: "\u00e9" * (most + 1)})


@pytest.mark.parametrize(
    ("accepts", "field", "item", "most"),
    [
        (accepts_call, "live", "a", 10_000),
        (accepts_beat, "logs", [0, "x", 0], 1_000), (accepts_beat, "points", [0, "loss", 1, None, None], 10_000),
        (accepts_beat, "usage", [0, 1, 1, 1, None, None], 1_000),
        (accepts_artifacts, "files", ARTIFACT, 1_000), (accepts_registration, "capabilities", "c", 100),
    ],
)  # fmt: skip
def test_lists_are_limited_by_their_items(accepts: Accepts, field: str, item: Any, most: int) -> None:
    assert accepts({field: [item] * most}) and not accepts({field: [item] * (most + 1)})


@pytest.mark.parametrize(("field", "report"), [("beats", ATTEMPT), ("finished", FINISHED)])
def test_a_call_has_at_most_ten_thousand_reports_of_a_kind(field: str, report: Fields) -> None:
    reports = [{**report, "attempt": str(number)} for number in range(10_001)]
    assert accepts_call({field: reports[:-1]}) and not accepts_call({field: reports})


def test_reasons_are_limited_by_their_characters() -> None:
    reasons = [{"code": "signal", "message": "x" * count} for count in (65_536, 65_537)]
    assert [accepts_end({"reason": reason}) for reason in reasons] == [True, False]


def test_a_part_of_a_log_ends_within_64_bits() -> None:
    last = 4_611_686_018_427_387_904
    assert accepts_beat({"logs": [[last, "x" * 1_000, INT64]]})
    assert not accepts_beat({"logs": [[last + 1, "", 0]]})
    assert not accepts_beat({"logs": [[-1, "", 0]]}) and not accepts_beat({"logs": [[0, "", -1]]})
    assert not accepts_beat({"logs": [[0, "", INT64 + 1]]})


@pytest.mark.parametrize(
    ("point", "is_accepted"),
    [
        ([0, "loss", 1, None, None], True), ([-1, "loss", 1, None, None], False),
        ([999_999_999, "loss", 1, None, None], True), ([1_000_000_000, "loss", 1, None, None], False),
        ([0, "n" * 500, 1, None, None], True), ([0, "n" * 501, 1, None, None], False),
        ([0, "n", 1, None, None], True), ([0, "", 1, None, None], False),
    ],
)  # fmt: skip
def test_a_measurement_has_a_name_and_a_number_of_a_worker(point: list[Any], is_accepted: bool) -> None:
    assert accepts_beat({"points": [point]}) is is_accepted


@pytest.mark.parametrize(
    ("sample", "is_accepted"),
    [
        ([0, 0, 1, 1, None, None], True), ([-1, 0, 1, 1, None, None], False), ([0, -1, 1, 1, None, None], False),
        ([INT64, 1e12, 1, 1, 0.5, 2.0], True), ([INT64 + 1, 1, 1, 1, 0.5, 2.0], False),
        ([0, 1.1e12, 1, 1, None, None], False), ([0, 1, None, 1, None, None], False),
    ],
)  # fmt: skip
def test_a_usage_sample_has_a_number_and_an_age(sample: list[Any], is_accepted: bool) -> None:
    assert accepts_beat({"usage": [sample]}) is is_accepted


@pytest.mark.parametrize("digest", [DIGEST[1:], DIGEST + "0", DIGEST.upper(), DIGEST + "\n", "g" + DIGEST[1:], ""])
def test_a_digest_is_64_hexadecimal_digits(digest: str) -> None:
    assert accepts_checkpoint({"digest": DIGEST}) and not accepts_checkpoint({"digest": digest})
    assert accepts_artifact({"digest": DIGEST}) and not accepts_artifact({"digest": digest})


@pytest.mark.parametrize(
    ("accepts", "field"),
    [
        (accepts_call, "boot"), (accepts_end, "attempt"), (accepts_checkpoint, "attempt"),
        (accepts_artifacts, "attempt"),
        (accepts_registration, "boot"), (accepts_registration, "version"), (accepts_registration, "node"),
    ],
)  # fmt: skip
def test_names_that_are_looked_up_have_no_nul_which_postgresql_refuses_in_a_query(accepts: Accepts, field: str) -> None:
    assert accepts({field: "a\nb\n"}) and not accepts({field: "a\0"}) and not accepts({field: "\0\n"})
