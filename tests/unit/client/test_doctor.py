"""Doctor finds what is wrong, and says what to do about it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orchestune.client.doctor import Finding, checks
from tests.unit.client.fake_server import FakeServer


def found(environ: dict[str, str]) -> dict[str, Finding]:
    return {finding.name: finding for finding in checks({"PATH": os.environ["PATH"], **environ})}


def test_a_sound_server_is_all_right() -> None:
    with FakeServer() as server:
        findings = found(server.environment())
    assert {name for name, finding in findings.items() if finding.ok == "error"} == set()
    assert {"versions", "temporary", "ports", "server", "store", "clock", "gpus"} <= set(findings)
    assert findings["clock"].ok == "ok"


def test_a_server_that_is_not_there_is_an_error_with_a_remedy() -> None:
    with FakeServer() as server:
        environ = server.environment()
    findings = found(environ)
    assert findings["server"].ok == "error"
    assert findings["server"].remedy


def test_hidden_gpus_are_noticed(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, Tesla T4'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with FakeServer() as server:
        environ = {**server.environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
        findings = {finding.name: finding for finding in checks(environ)}
    assert findings["gpus"].ok == "warning"
    assert "Tesla T4" in findings["gpus"].detail
