"""A server that does not answer: commands say on standard error, once, what they wait for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.cli.main import run
from orchestune.cli.terminal.console import Console
from orchestune.client.local import embedded
from orchestune.client.local.endpoint import SocketAddress
from orchestune.errors import StoreUnavailable, TemporaryError, Unreachable
from tests.unit.client.fake_server import TOKEN, FakeServer

SILENT = "waiting for the server (pid 7), which does not answer"


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("words", [["status", "sgd"], ["logs", "sgd"], ["stop", "sgd"]])
def test_the_embedded_server_is_waited_for_with_one_word_beside_the_result_that_is_no_document(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], json: bool
) -> None:
    hangs = [Unreachable("it hangs"), Unreachable("it hangs")]

    def connect(*, note: Callable[[str], None], **options: object) -> SocketAddress:
        note(SILENT)
        if hangs:
            raise hangs.pop()
        return SocketAddress(server.url, TOKEN)

    monkeypatch.setattr(embedded, "connect", connect)
    server.log("epoch 1\n")
    console = Console(json=json, out=io.StringIO(), err=io.StringIO(), environ={"ORCHESTUNE_HOME": str(tmp_path)})
    assert run(console, [*words, "--json"] if json else words) == 0
    assert console.err.getvalue() == ("" if json else f"{SILENT}\n")  # type: ignore[attr-defined]
    assert console.out.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (Unreachable("http://server cannot be reached: refused"), "does not answer"),
        (StoreUnavailable("the disk of the store is full"), "cannot serve the request now"),
    ],
)
def test_what_is_tried_again_is_told_once_with_its_cause(error: TemporaryError, message: str) -> None:
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={})
    on_wait = console.client.transport._on_wait
    on_wait(error)
    on_wait(error)
    assert console.err.getvalue() == f"the server {message}, retrying ({error.message})\n"  # type: ignore[attr-defined]


def test_a_cause_of_many_lines_such_as_the_end_of_a_log_is_told_in_one() -> None:
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={})
    console.client.transport._on_wait(Unreachable("the server exited at once:\n  File a\n  File b\nImportError: c"))
    expected = "the server does not answer, retrying (the server exited at once: … ImportError: c)\n"
    assert console.err.getvalue() == expected  # type: ignore[attr-defined]
