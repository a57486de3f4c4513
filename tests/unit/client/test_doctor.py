"""Doctor finds what is wrong, and says what to do about it."""

from __future__ import annotations

import os
import shutil
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestune.client.connection.transport import HttpReply, Transport
from orchestune.client.doctor import machine
from orchestune.client.doctor.finding import CheckResult
from orchestune.client.doctor.machine import checks
from orchestune.client.local.filesystem import NETWORK
from tests.unit.client.fake_server import FakeServer


def run_checks(environ: dict[str, str]) -> dict[str, CheckResult]:
    return {finding.name: finding for finding in checks({"PATH": os.environ["PATH"], **environ})}


def test_a_sound_server_is_all_right() -> None:
    with FakeServer() as server:
        findings = run_checks(server.environment())
    assert {name for name, finding in findings.items() if finding.state == "error"} == set()
    assert {"versions", "temporary", "ports", "server", "store", "clock", "gpus"} <= set(findings)
    assert findings["clock"].state == "ok"


def test_a_server_that_is_not_there_is_an_error_with_a_remedy() -> None:
    with FakeServer() as server:
        environ = server.environment()
    findings = run_checks(environ)
    assert findings["server"].state == "error"
    assert "check ORCHESTUNE_SERVER" in findings["server"].remedy


def test_a_wrong_token_is_an_error_with_a_remedy() -> None:
    with FakeServer() as server:
        finding = run_checks({**server.environment(), "ORCHESTUNE_TOKEN": "another"})["server"]
    assert (finding.state, finding.detail) == ("error", "the token is unknown")
    assert finding.remedy


@pytest.mark.parametrize(
    ("server_status", "verdict", "detail"),
    [
        ({"protocol": 2}, "error", "protocol 2 (expected 1)"),
        ({"version": "0.0.1"}, "warning", "0.0.1 (hosted, pid 1)"),
    ],
)
def test_another_version_of_the_server_is_noticed(server_status: dict[str, object], verdict: str, detail: str) -> None:
    with FakeServer() as server:
        server.world.server = server_status
        finding = run_checks(server.environment())["server"]
    assert finding.state == verdict
    assert detail in finding.detail
    assert finding.remedy


def test_a_clock_that_is_off_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        monkeypatch.setattr(machine, "parsedate_to_datetime", lambda text: datetime(2020, 1, 31, tzinfo=UTC))
        finding = run_checks(server.environment())["clock"]
    assert finding.state == "warning"
    assert "ahead of the server" in finding.detail
    assert finding.remedy


def test_a_server_that_had_to_be_started_is_not_taken_for_one_with_another_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request, waited = Transport.request, list[str]()

    def slow(transport: Transport, method: str, path: str, *more: Any) -> HttpReply:
        waited.append(path)
        return request(transport, method, path, *more)

    monkeypatch.setattr(Transport, "request", slow)
    clock = SimpleNamespace(time=lambda: time.time() - (0.0 if waited else 60.0))  # it takes a minute
    monkeypatch.setattr(machine, "time", clock)
    with FakeServer() as server:
        findings = run_checks(server.environment())
    assert findings["clock"].state == "ok"
    assert "60000 ms" not in findings["server"].detail


def test_a_state_folder_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    [finding] = machine._state({"ORCHESTUNE_HOME": str(tmp_path / "file")})
    assert finding.name == "state folder"
    assert finding.state == "error"
    assert finding.remedy


def test_without_a_state_folder_all_else_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    findings = run_checks({"ORCHESTUNE_HOME": str(tmp_path / "file")})
    assert [finding.name for finding in findings.values() if finding.state == "error"] == ["state folder"]
    assert "gpus" in findings


@pytest.mark.parametrize("kind", sorted(NETWORK))
def test_a_state_folder_on_a_file_system_that_the_server_refuses_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(machine, "filesystem", lambda folder: kind)
    [finding] = [one for one in machine._state({"ORCHESTUNE_HOME": str(tmp_path)}) if one.name == "locks"]
    assert (finding.state, finding.detail) == ("error", f"the state folder is on {kind}, a network file system")


@pytest.mark.parametrize(("free", "verdict"), [(2**29, "error"), (5 * 2**30, "warning"), (50 * 2**30, "ok")])
def test_a_disk_that_is_almost_full_is_told_in_time(monkeypatch: pytest.MonkeyPatch, free: int, verdict: str) -> None:
    usage = SimpleNamespace(total=100 * 2**30, used=100 * 2**30 - free, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with FakeServer() as server:
        finding = run_checks(server.environment())["temporary"]
    assert finding.state == verdict
    assert bool(finding.remedy) == (verdict != "ok")


def test_a_broken_driver_is_noticed(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with FakeServer() as server:
        environ = {**server.environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        finding = {finding.name: finding for finding in checks(environ)}["gpus"]
    assert finding.state == "warning"
    assert "version mismatch" in finding.detail
    assert finding.remedy


def test_hidden_gpus_are_noticed(tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, Tesla T4'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with FakeServer() as server:
        environ = {**server.environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
        findings = {finding.name: finding for finding in checks(environ)}
    assert findings["gpus"].state == "warning"
    assert "Tesla T4" in findings["gpus"].detail
