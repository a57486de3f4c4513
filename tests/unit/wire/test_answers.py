"""The server's answers to workers, as JSON and as types."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
import pytest

from orchestune.domain.lifecycle.states import Reason, ReasonCode
from orchestune.wire.answers import (
    Ack,
    CheckpointToResume,
    JobDocument,
    KeptArtifacts,
    Lease,
    Published,
    ReasonDocument,
    Registered,
    StopOrder,
    Uploaded,
    WorkAnswer,
    encode,
)

T = TypeVar("T")
REASON = {"code": "stopped", "message": "by ada"}
STOP = {"attempt": "a", "order": "stop", "state": "cancelled", "reason": REASON}
LEASE = {
    "attempt": "a", "token": 1, "number": 2, "trial": 12, "fold": 0, "folds": 1, "parameters": {"x": 0.5, "on": True},
    "seed": 1234, "revision": 1, "bundle": None, "gpus": [], "report": "http://host/report", "checkpoint": None,
}  # fmt: skip
JOB = {
    "revision": 1, "run": "python model.py {args}", "metrics": ["loss"], "parameters": ["x"],
    "inherited": {"HOST": "n1"}, "env": {"A": "1"},
    "secrets": {"TOKEN": "s"}, "timeout": None, "grace": 10.0, "keep": {"patterns": ["*.bin"], "limit": 1 << 30},
    "checkpoint_every": None, "config": None, "constants": None, "stdin": "", "cpu": None, "pin": 0, "gpu": 0.25,
    "preload": ["sklearn.svm"], "collect": [{"kind": "csv", "where": "logs/metrics.csv"}], "root": None, "folder": "",
    "links": ["data"], "cap_bytes": 67_108_864,
}  # fmt: skip
CONFIG = {"name": "base.yml", "path": "conf/base.yml", "parts": ["text", ["optim.lr", "text without it"], "rest"]}
CONSTANTS = {"path": "model.py", "lines": [{"number": 3, "parts": ["lr = ", ["lr", "0.1"], ""]}]}
EVERY_OPTION = {
    "run": ["python", "model.py"], "timeout": 60.0, "checkpoint_every": 30.5, "config": CONFIG, "cpu": 2.0,
    "constants": CONSTANTS,
    "root": "/home/ada/project", "folder": "src",
}  # fmt: skip
REGISTERED = {
    "protocol": 2, "experiment": "e", "handle": "sgd-7f3b", "token": "t", "name": "w1", "beat_seconds": 2.0,
    "lease_seconds": 15.0, "slots": 8, "job": JOB,
}  # fmt: skip
EMPTY = {"acks": [], "orders": [], "leases": [], "slots": 8, "drain": False, "again": False}
WORK: dict[str, Any] = {"acks": [{"attempt": "a", "result": "ok"}], "orders": [STOP], "leases": [LEASE], "drain": True}


def parsed(document: dict[str, Any], kind: type[T]) -> T:
    return msgspec.json.decode(json.dumps(document), type=kind)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        *((Ack, {"attempt": "a", "result": result}) for result in ("ok", "superseded", "unknown", "rejected")),
        (Ack, {"attempt": "a", "result": "rejected", "message": "beats[0].token: Expected `int`"}),
        (StopOrder, STOP), (StopOrder, STOP | {"grace": 2.5}),
        (CheckpointToResume, {"digest": "d", "step": 3.5}), (CheckpointToResume, {"digest": "d", "step": None}),
        (Lease, LEASE), (Lease, LEASE | {"bundle": "d", "gpus": ["0"], "checkpoint": {"digest": "d", "step": 3.0}}),
        (JobDocument, JOB), (JobDocument, JOB | EVERY_OPTION), (Registered, REGISTERED),
        (Uploaded, {"size": 4096}), (KeptArtifacts, {"kept": ["model.bin"]}), (Published, {"accepted": True}),
        (WorkAnswer, EMPTY), (WorkAnswer, EMPTY | WORK | {"again": True}),
    ],
)  # fmt: skip
def test_an_answer_has_each_form_that_the_protocol_describes(kind: type[Any], document: dict[str, Any]) -> None:
    assert json.loads(encode(parsed(document, kind))) == document


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (Ack, {"attempt": "a", "result": "late"}), (StopOrder, STOP | {"order": "go"}),
        (StopOrder, STOP | {"grace": None}), (Ack, {"attempt": "a", "result": "ok", "message": None}),
    ],
)  # fmt: skip
def test_an_answer_has_no_other_form(kind: type[Any], document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        parsed(document, kind)


def test_an_order_is_to_stop_by_default() -> None:
    order = StopOrder(attempt="a", state="cancelled", reason=ReasonDocument("stopped", "by ada"))
    assert json.loads(encode(order)) == STOP


def test_an_acknowledgement_has_a_message_only_if_one_is_set() -> None:
    assert json.loads(encode(Ack("a", "ok"))) == {"attempt": "a", "result": "ok"}


def test_a_reason_is_its_code_and_its_sentence() -> None:
    document = ReasonDocument.of(Reason(ReasonCode.TIMEOUT, "60 s are over"))
    assert json.loads(encode(document)) == {"code": "timeout", "message": "60 s are over"}


@pytest.mark.parametrize("field", sorted(WORK))
def test_each_kind_of_news_is_answered_at_once(field: str) -> None:
    answer = parsed(EMPTY | {field: WORK[field]}, WorkAnswer)
    assert answer.has_news is True


def test_slots_and_an_empty_answer_are_no_news() -> None:
    assert parsed(EMPTY | {"again": True}, WorkAnswer).has_news is False
