"""Reported metrics: their names on the screen, and the documented command that reports them."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl

import pytest

from orchestune.cli.develop.discover_metrics import ReportedMetrics, likeliest_metric, table
from orchestune.cli.terminal.console import Console
from orchestune.errors import UsageError


class Reports:
    """An address at which a trial reports; `received` are the bodies."""

    def __enter__(self) -> Reports:
        received = self.received = list[bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/report"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_names_of_metrics_do_not_control_the_terminal() -> None:
    name = "\x1b]52;c;cm0gLXJmIC8=\x07x"
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={})
    metrics = ReportedMetrics({name: [1.0]})
    assert "\x1b" not in "\n".join(table(console, metrics))
    with pytest.raises(UsageError) as error:
        likeliest_metric(metrics)
    assert "\x1b" not in str(error.value)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_documented_command_keeps_the_address_out_of_its_arguments(tmp_path: Path) -> None:
    """They are visible to all users of the machine."""
    text = (Path(__file__).parents[3] / "docs/reference/protocol.md").read_text()
    command = re.search(r"\| `ORCHESTUNE_REPORT_URL` \| `([^`]+)`", text)
    assert command is not None
    (tmp_path / "curl").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexec {shutil.which("curl")} "$@"\n')
    (tmp_path / "curl").chmod(0o700)
    with Reports() as reports:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ORCHESTUNE_REPORT_URL": reports.url}
        subprocess.run(["sh", "-c", command[1].replace("\\|", "|")], env=environ, check=True, timeout=60)
        assert [dict(parse_qsl(report.decode())) for report in reports.received] == [{"accuracy": "0.92", "step": "3"}]
        arguments = (tmp_path / "arguments").read_text()
        assert "accuracy=0.92" in arguments and "127.0.0.1" not in arguments
