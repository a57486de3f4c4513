"""Decoding of `work` calls: types, bounds, and rejection of single reports."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.domain.specification.metrics import Point
from orchestune.errors import InvalidCall
from orchestune.wire.work import MAX_ITEMS, MAX_LIVE, MAX_PARTS, MAX_POINTS, EndState, Finished, Heartbeat, Work, decode

ENVELOPE = {"boot": "b", "beat": 3, "want": 2}
END = {"attempt": "a1", "token": 4, "state": "succeeded"}
BEAT = {"attempt": "a2", "token": 5}


def call(**fields: Any) -> Work:
    return decode(json.dumps(ENVELOPE | fields).encode())


def test_only_the_envelope_is_required() -> None:
    assert call() == Work(boot="b", beat=3, want=2)


def test_a_report_names_at_least_its_attempt_and_its_lease() -> None:
    decoded = call(beats=[BEAT], finished=[END])
    assert decoded.beats == (Heartbeat(attempt="a2", token=5, logs=(), points=(), usage=(), started=False, age=0.0),)
    process = {"exit_code": None, "signal": None, "reason": None, "wall": 0.0, "cpu": 0.0, "memory": 0, "tail": ""}
    empty: dict[str, Any] = {"logs": (), "points": (), "usage": (), "log_bytes": 0, "files": 0}
    expected = Finished(attempt="a1", token=4, state=EndState.SUCCEEDED, **process | empty)
    assert decoded.finished == (expected,)


def test_what_is_not_known_of_a_process_may_be_null() -> None:
    (end,) = call(finished=[END | {"exit_code": None, "signal": None, "reason": None}]).finished
    assert (end.exit_code, end.signal, end.reason) == (None, None, None)


@pytest.mark.parametrize("state", ["succeeded", "failed", "pruned", "preempted", "cancelled", "lost"])
def test_an_attempt_ends_in_one_of_six_ways(state: str) -> None:
    (end,) = call(finished=[END | {"state": state}]).finished
    assert end.state == state


def test_live_that_is_empty_differs_from_live_that_is_absent() -> None:
    assert (call(live=[]).live, call().live) == ((), None)


def test_unknown_keys_are_ignored() -> None:
    decoded = call(later={"x": [1]}, finished=[END | {"later": 1}])
    assert [end.state for end in decoded.finished] == [EndState.SUCCEEDED]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"3", b"null", b"\xff", b"[" * 100_000, b'{"boot":"\\ud800","beat":1,"want":1}',
        b'{"boot":"b","beat":1,"want":NaN}', b'{"boot":"b","beat":1,"want":1e400}',
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_422(body: bytes) -> None:
    with pytest.raises(InvalidCall) as failure:
        decode(body)
    assert failure.value.status == 422


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boot", None), ("boot", "b" * 201), ("beat", "3"), ("beat", -1), ("beat", True), ("beat", 2**63),
        ("want", 1.5), ("want", 2**40), ("wait", "x"), ("live", "a"), ("live", [1]), ("live", ["a"] * (MAX_LIVE + 1)),
        ("draining", 1), ("sending", -1), ("beats", {}), ("beats", [{}] * (MAX_ITEMS + 1)), ("finished", None),
    ],
)  # fmt: skip
def test_an_envelope_that_does_not_fit_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidCall) as failure:
        call(**{field: value})
    assert f"$.{field}" in failure.value.message


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"token": "4"}, ".token"), ({"token": -1}, ".token"), ({"state": "flying"}, ".state"),
        ({"reason": {"code": "because", "message": ""}}, ".reason.code"), ({"reason": "because"}, ".reason"),
        ({"wall": -1}, ".wall"), ({"wall": "nan"}, ".wall"), ({"exit_code": 2**31}, ".exit_code"),
        ({"memory": -5}, ".memory"), ({"memory": 2**63}, ".memory"), ({"tail": 3}, ".tail"),
        ({"points": [[0, "loss", "high", None, None]]}, ".points[0][2]"),
        ({"points": [[0, "loss", 1]]}, ".points[0]"), ({"points": [[-1, "loss", 1, None, None]]}, ".points[0][0]"),
        ({"points": [[0, "loss", 1, "x", None]]}, ".points[0][3]"),
        ({"points": [[2**31, "loss", 1, None, None]]}, ".points[0][0]"),
        ({"points": [[0, "", 1, None, None]]}, ".points[0][1]"), ({"logs": [[0, "\u20ac", 0]]}, ".logs[0]"),
        ({"logs": [[0, "x", 0]] * (MAX_PARTS + 1)}, ".logs"), ({"usage": [[0, 1, "x", 1, None, None]]}, ".usage[0][2]"),
        ({"files": 1.5}, ".files"),
        ({"points": [[0, "loss", 1, None, None]] * (MAX_POINTS + 1)}, ".points"),
    ],
)  # fmt: skip
def test_an_invalid_report_is_rejected_by_itself_with_its_path(change: dict[str, Any], path: str) -> None:
    decoded = call(finished=[END, END | {"attempt": "bad"} | change, END | {"attempt": "a3"}], beats=[BEAT])
    assert [end.attempt for end in decoded.finished] == ["a1", "a3"]
    assert [beat.attempt for beat in decoded.beats] == ["a2"]
    (rejected,) = decoded.rejected
    assert rejected.problem.startswith(f"finished[1]{path}: ")
    assert (rejected.attempt, rejected.token) == ((None, None) if "token" in change else ("bad", 4))


@pytest.mark.parametrize(("field", "report"), [("beats", BEAT), ("finished", END)])
def test_an_attempt_is_reported_once_in_a_call(field: str, report: dict[str, Any]) -> None:
    with pytest.raises(InvalidCall, match=f"^{field}: contains an attempt more than once"):
        call(**{field: [report, report]})


def test_an_attempt_that_runs_and_ends_in_one_call_is_reported_by_both() -> None:
    decoded = call(beats=[END], finished=[END])
    assert (len(decoded.beats), len(decoded.finished), decoded.rejected) == (1, 1, ())


@pytest.mark.parametrize("field", ["beats", "finished"])
def test_a_rejected_report_is_named_by_its_list_and_its_place_there(field: str) -> None:
    (rejected,) = call(**{field: [END, END | {"attempt": "a3", "token": 2.5}]}).rejected
    assert rejected.problem == f"{field}[1].token: Expected `int`, got `float`"


def test_a_log_has_one_byte_for_each_character() -> None:
    parts = [[0, "\xe9", 0], [1, "\x00\xff", 3], [6, "plain", 0]]
    (beat,) = call(beats=[BEAT | {"logs": parts}]).beats
    assert [(part.offset, part.data, part.gap) for part in beat.logs] == [
        (0, b"\xe9", 0),
        (1, b"\x00\xff", 3),
        (6, b"plain", 0),
    ]
    (rejected,) = call(beats=[BEAT | {"logs": [[0, "\u0100", 0]]}]).rejected
    assert rejected.problem == "beats[0].logs[0]: expected characters up to U+00FF, one for each byte"


def test_steps_keep_their_type_and_every_digit() -> None:
    points = [[0, "loss", 1, 2**53 + 1, None], [1, "loss", 1, 2.5, None], [2, "loss", 1, None, None]]
    (beat,) = call(beats=[BEAT | {"points": points}]).beats
    assert [measurement.point().step for measurement in beat.points] == [2**53 + 1, 2.5, None]


def test_the_use_of_a_gpu_is_known_or_not() -> None:
    (beat,) = call(beats=[BEAT | {"usage": [[0, 1.5, 2, 1024, None, None], [1, 3, 2, 1024, 0.5, 2048]]}]).beats
    assert [(sample.gpu_share, sample.gpu_memory) for sample in beat.usage] == [(None, None), (0.5, 2048)]


@pytest.mark.parametrize("fields", [{"want": 1}, {"beats": [BEAT]}, {"finished": [END]}, {"beats": [3]}])
def test_a_call_that_reports_or_asks_has_news(fields: dict[str, Any]) -> None:
    assert call(**{"want": 0} | fields).has_news is True


def test_usage_samples_alone_are_no_news() -> None:
    usage = {"usage": [[0, 1.5, 2, 1024, None, None]]}
    assert call(want=0, beats=[BEAT | usage]).has_news is False
    logs = usage | {"logs": [[0, "x", 0]]}
    assert call(want=0, beats=[BEAT | usage, BEAT | logs | {"attempt": "a3"}]).has_news is True


@pytest.mark.parametrize("want", [0, -1])
def test_a_call_that_only_shows_that_its_worker_lives_has_no_news(want: int) -> None:
    assert call(want=want, live=["a1"], sending=2, draining=True).has_news is False


@pytest.mark.parametrize("item", [None, 3, "x", [], {}, {"attempt": 3, "token": 1}])
def test_a_report_of_no_known_attempt_is_rejected_too(item: Any) -> None:
    (rejected,) = call(beats=[item]).rejected
    assert (rejected.attempt, rejected.token) == (None, None)


def test_values_that_are_not_finite_are_measured_outcomes() -> None:
    points = [[0, "a", "nan", None, None], [0, "b", "inf", 1, None], [0, "c", "-inf", 2.5, 0.1]]
    (end,) = call(finished=[END | {"points": points}]).finished
    nan, *others = [measurement.point() for measurement in end.points]
    assert math.isnan(nan.value)
    assert others == [Point("b", math.inf, 1, None, 0), Point("c", -math.inf, 2.5, 0.1, 0)]


def test_nul_characters_which_postgresql_cannot_store_are_replaced() -> None:
    reason = {"code": "exit_code", "message": "a\0b"}
    (end,) = call(finished=[END | {"tail": "x\0", "reason": reason, "points": [[0, "l\0s", 1, None, None]]}]).finished
    assert end.reason is not None
    assert (end.tail, end.reason.message, end.points[0].name) == ("x\ufffd", "a\ufffdb", "l\ufffds")


def test_a_poll_says_again_what_the_worker_works_on_but_no_report() -> None:
    decoded = call(finished=[END, {}], beats=[BEAT], live=["a2"], sending=2, wait=20)
    assert decoded.has_news
    assert decoded.as_poll() == Work(boot="b", beat=3, want=2, wait=20, live=("a2",))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
reports = st.dictionaries(
    st.sampled_from(["attempt", "token", "state", "reason", "wall", "points", "logs", "usage", "tail", "started"]),
    json_values,
)


@given(
    st.dictionaries(st.sampled_from(["boot", "beat", "want", "wait", "live", "sending"]), json_values),
    st.lists(reports),
)
def test_no_document_raises_anything_but_an_invalid_call(envelope: dict[str, Any], items: list[dict[str, Any]]) -> None:
    body = json.dumps(ENVELOPE | envelope | {"beats": items, "finished": items}).encode()
    try:
        decoded = decode(body)
    except InvalidCall:
        return
    assert len(decoded.beats) + len(decoded.finished) + len(decoded.rejected) == 2 * len(items)
