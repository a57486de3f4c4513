"""Files on their way to the server."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.worker.connection.api import Unreachable
from orchestune.worker.files import uploads


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"size": null}'])
def test_an_answer_that_is_none_of_the_servers_is_one_of_a_server_that_is_away(tmp_path: Path, answer: bytes) -> None:
    answers = [({"X-Size": "0"}, b""), ({}, answer)]
    connection: Any = SimpleNamespace(send=lambda *words: None, receive=lambda: answers.pop(0))
    server: Any = SimpleNamespace(path=lambda rest: rest)
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    with pytest.raises(Unreachable, match="not from an Orchestune server"):
        uploads.send_file(connection, server, file, hashlib.sha256(b"12345").hexdigest(), 5)
