"""The address at which the program of `test`, `init` and `shell` reports is for processes of its user that know it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestune.cli.develop.discover_metrics import ReportedMetrics, likeliest_metric, table
from orchestune.cli.develop.report_endpoint import ReportEndpoint
from orchestune.cli.terminal.console import Console
from orchestune.errors import UsageError
from tests.security.test_port_hijack import as_another_user, as_nobody


def post(url: str, body: bytes, headers: Mapping[str, str] = {}, path: str = "") -> bytes:
    """The status of a report, or `closed`."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", path or parts.path, body, dict(headers))
        return str(connection.getresponse().status).encode()
    except ConnectionError:
        return b"closed"
    finally:
        connection.close()


def test_reports_are_taken_at_the_address_alone() -> None:
    with ReportEndpoint() as reports, ReportEndpoint() as others:
        assert post(reports.url, b"loss=0.5&step=1") == b"200"
        for path in ("/", "/report", "/report/", urlsplit(others.url).path, urlsplit(reports.url).path + "x"):
            assert post(reports.url, b"loss=-9", path=path) == b"404"
        assert [json.loads(report) for report in reports.received] == [{"loss": 0.5, "step": 1.0}]


@pytest.mark.parametrize("length", [str(2**20 + 1), "9" * 30, "-1", "x"])
def test_a_body_that_is_too_large_is_not_read(length: str) -> None:
    with ReportEndpoint() as reports:
        assert post(reports.url, b"", {"Content-Length": length}) == b"413"
        assert post(reports.url, b"x" * 2**20) == b"200"
        assert len(reports.received) == 1


@as_another_user
def test_another_user_is_refused_also_with_the_address() -> None:
    with ReportEndpoint() as reports:
        assert as_nobody(lambda: post(reports.url, b"loss=-9")) == b"closed"
        assert reports.received == []


def test_names_of_metrics_do_not_control_the_terminal() -> None:
    name = "\x1b]52;c;cm0gLXJmIC8=\x07x"
    console = Console(out=io.StringIO(), err=io.StringIO(), environ={})
    seen = ReportedMetrics({name: [1.0]})
    assert "\x1b" not in "\n".join(table(console, seen))
    with pytest.raises(UsageError) as error:
        likeliest_metric(seen)
    assert "\x1b" not in str(error.value)


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_the_documented_command_keeps_the_address_out_of_its_arguments(tmp_path: Path) -> None:
    """They are visible to all users of the machine."""
    text = (Path(__file__).parents[3] / "docs/reference/protocol.md").read_text()
    command = re.search(r"\| `ORCHESTUNE_REPORT_URL` \| `([^`]+)`", text)
    assert command is not None
    (tmp_path / "curl").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nexec {shutil.which("curl")} "$@"\n')
    (tmp_path / "curl").chmod(0o700)
    with ReportEndpoint() as reports:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ORCHESTUNE_REPORT_URL": reports.url}
        subprocess.run(["sh", "-c", command[1].replace("\\|", "|")], env=environ, check=True, timeout=60)
        assert [json.loads(report) for report in reports.received] == [{"accuracy": 0.92, "step": 3.0}]
        arguments = (tmp_path / "arguments").read_text()
        assert "accuracy=0.92" in arguments and "127.0.0.1" not in arguments
