"""Registries of AWS: a password for hours, for one push, kept nowhere."""

from __future__ import annotations

import base64
import json
import os
import time
from pathlib import Path

import pytest

from orchestune.images.builds.build import Plan
from orchestune.images.builds.tools import Tool
from orchestune.images.registries import credentials, ecr
from orchestune.images.registries.credentials import Credentials
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.short_login import short_login

AWS = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.fixture(autouse=True)
def _fake_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "password", lambda registry, profile: ("AWS", f"for hours{profile}"))


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        (AWS, True), ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", True),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", True), ("public.ecr.aws", False),
        ("registry.lab:5000", False), (f"{AWS}.evil.example", False), ("1.dkr.ecr.x.amazonaws.com", False),
    ],
)  # fmt: skip
def test_registries_of_aws_are_known_by_their_names(name: str, is_one: bool) -> None:
    assert ecr.is_ecr(name) is is_one


def test_a_registry_of_aws_has_the_login_that_aws_gives_unless_the_user_has_one(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert credentials.find(AWS, environ) == Credentials("AWS", "for hours")
    assert credentials.find("registry.lab:5000", environ) is None
    pair = base64.b64encode(b"ada:own").decode()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {AWS: {"auth": pair}}}))
    assert credentials.find(AWS, environ) == Credentials("ada", "own")


@pytest.mark.parametrize(("hours", "password"), [(-1, "for hours"), (1, None)])
def test_a_login_of_aws_that_has_expired_is_got_anew(hours: int, password: str | None, tmp_path: Path) -> None:
    payload = {"payload": "…", "type": "DATA_KEY", "expiration": int(time.time()) + 3600 * hours}
    password_in_file = base64.b64encode(json.dumps(payload).encode()).decode()
    pair = base64.b64encode(f"AWS:{password_in_file}".encode()).decode()
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {AWS: {"auth": pair}}}))
    assert credentials.find(AWS, {"HOME": str(tmp_path)}) == Credentials("AWS", password or password_in_file)


def test_a_push_gets_the_login_in_a_folder_of_its_own_which_is_gone_afterwards(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    (tmp_path / ".docker/contexts").mkdir(parents=True)
    (tmp_path / ".docker/config.json").write_text(json.dumps({"currentContext": "colima"}))
    with short_login(AWS, environ) as folder:
        assert folder is not None
        document = json.loads((folder / "config.json").read_text())
        assert base64.b64decode(document["auths"][AWS]["auth"]) == b"AWS:for hours"
        assert document["currentContext"] == "colima"
        assert (folder / "contexts").is_dir()
        assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    assert not folder.exists()
    assert "for hours" not in (tmp_path / ".docker/config.json").read_text()


def test_a_context_that_the_environment_names_is_found_in_that_folder(tmp_path: Path) -> None:
    (tmp_path / ".docker/contexts/meta").mkdir(parents=True)
    with short_login(AWS, {"HOME": str(tmp_path), "DOCKER_CONTEXT": "colima"}) as folder:
        assert folder is not None
        assert (folder / "contexts/meta").is_dir()


def test_for_any_other_registry_the_tool_uses_its_own_logins(tmp_path: Path) -> None:
    with short_login("registry.lab:5000", {"HOME": str(tmp_path)}) as folder:
        assert folder is None


def test_aws_is_asked_as_whom_a_cluster_was_made(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert credentials.find(AWS, environ, " of the team") == Credentials("AWS", "for hours of the team")
    with short_login(AWS, environ, " of the team") as folder:
        assert folder is not None
        document = json.loads((folder / "config.json").read_text())
        assert base64.b64decode(document["auths"][AWS]["auth"]) == b"AWS:for hours of the team"


def test_what_a_build_takes_from_a_registry_of_aws_is_fetched_with_that_login_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, calls = tmp_path / "docker", tmp_path / "told"
    program.write_text(f'#!/bin/sh\necho "$1 $(cat "$DOCKER_CONFIG/config.json" | wc -c) $*" >> {calls}\n')
    program.chmod(0o755)
    for name, value in (
        ("PATH", f"{tmp_path}:{os.environ['PATH']}"),
        ("HOME", str(tmp_path)),
        ("DOCKER_CONFIG", "/no"),
    ):
        monkeypatch.setenv(name, value)
    base, other = f"{AWS}/team/base@sha256:{64 * '0'}", f"docker.io/library/python@sha256:{64 * '1'}"
    target = Reference("registry.lab:5000", "orchestune", "0123")
    plan = Plan(f"FROM {other}\nCOPY --from={base} /x /x\n", {}, Platform("amd64"), target)
    Tool("docker").build(plan, print)
    lines = [line.split(maxsplit=2) for line in calls.read_text().splitlines()]
    assert [(verb, size != "0") for verb, size, _ in lines] == [("pull", True), ("build", False), ("push", False)]
    assert lines[0][2] == f"pull --platform linux/amd64 {base}"
