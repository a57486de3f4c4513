"""Decoding of the `register` call."""

from __future__ import annotations

import json

import pytest

from orchestune.errors import InvalidCall
from orchestune.wire.registration import ACCEPTED, PROTOCOL, Registration, decode


def test_a_worker_names_at_least_its_protocol_and_its_process() -> None:
    call = decode(b'{"protocol": 2, "boot": "b"}')
    assert call == Registration(protocol=2, boot="b", version="", node="", capabilities=())


def test_a_worker_names_its_version_its_machine_and_its_capabilities() -> None:
    fields = {"version": "0.1.0", "node": "gpu1", "capabilities": ["again", "sockets"], "pid": 17}
    call = decode(json.dumps({"protocol": 2, "boot": "b"} | fields).encode())
    assert (call.version, call.node, call.capabilities) == ("0.1.0", "gpu1", ("again", "sockets"))


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"protocol": 2}', b'{"boot": "b"}', b"\xff"])
def test_an_invalid_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidCall):
        decode(body)


def test_the_version_before_is_accepted_so_that_its_workers_can_finish() -> None:
    assert ACCEPTED == (1, 2) and PROTOCOL == 2
