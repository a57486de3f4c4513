"""Which daemon is meant: never another one than docker's own command would take."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from orchestune.backends.docker.client import DaemonUnreachable, DockerEngine
from orchestune.backends.docker.config import Daemon, find


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker's `config.json`, with a context `far` beside it."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoint = {"Host": "tcp://far:2375", "SkipTLSVerify": False}
    meta.write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    return tmp_path / "config.json"


@pytest.mark.parametrize(("current", "address"), [
    (None, Daemon().address), ("", Daemon().address), ("default", Daemon().address), ("far", "tcp://far:2375"),
])  # fmt: skip
def test_the_context_that_is_chosen_says_where_the_daemon_is(settings: Path, current: str | None, address: str) -> None:
    settings.write_text(json.dumps({} if current is None else {"currentContext": current}))
    assert find().address == address


def test_for_a_context_that_is_not_there_no_other_daemon_is_taken(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(json.dumps({"currentContext": "gone"}))
    with pytest.raises(DaemonUnreachable, match="context 'gone' not found"):
        DockerEngine().containers("x=y")
    monkeypatch.setenv("DOCKER_CONTEXT", "typo")
    with pytest.raises(DaemonUnreachable, match="context 'typo' not found"):
        DockerEngine().containers("x=y")


def test_a_daemon_over_ssh_takes_a_package_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("docker.api.client.SSHHTTPAdapter", raising=False)
    with pytest.raises(
        DaemonUnreachable, match=r"cannot reach Docker at ssh://ada@far by SSH: the package paramiko is missing"
    ) as caught:
        DockerEngine(daemon=Daemon("ssh://ada@far")).containers("x=y")
    assert "pip install paramiko" in caught.value.hint
