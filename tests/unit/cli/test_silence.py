"""A server that does not answer: commands say on standard error, once, what they wait for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.cli.console import Console
from orchestune.cli.main import run
from orchestune.client import embedded
from orchestune.errors import StoreUnavailable, TemporaryError, Unreachable
from tests.unit.client.fake_server import TOKEN, FakeServer

SILENT = "waiting for the server (pid 7), which does not answer"


@pytest.mark.parametrize("words", [["status", "sgd", "--json"], ["logs", "sgd", "--json"], ["stop", "sgd", "--json"]])
def test_the_embedded_server_is_waited_for_with_one_word_beside_the_result(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    hangs = [Unreachable("it hangs"), Unreachable("it hangs")]

    def connect(*, note: Callable[[str], None], **options: object) -> tuple[str, str]:
        note(SILENT)
        if hangs:
            raise hangs.pop()
        return server.url, TOKEN

    monkeypatch.setattr(embedded, "connect", connect)
    server.log("epoch 1\n")
    console = Console(json=True, out=io.StringIO(), err=io.StringIO(), environ={"ORCHESTUNE_HOME": str(tmp_path)})
    assert run(console, words) == 0
    assert console.err.getvalue() == f"{SILENT}\n"  # type: ignore[attr-defined]
    assert json.loads(console.out.getvalue())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("http://server cannot be reached: refused"), "does not answer"),
        (StoreUnavailable("the disk of the store is full"), "cannot do that now"),
    ],
)
def test_what_is_tried_again_is_told_once_with_its_cause(error: TemporaryError, said: str) -> None:
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={})
    told = console.client.transport._on_wait
    told(error)
    told(error)
    assert console.err.getvalue() == f"the server {said}, trying again ({error.message})\n"  # type: ignore[attr-defined]
