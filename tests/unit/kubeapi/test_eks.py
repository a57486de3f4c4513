"""The login at EKS: an address of STS, signed for one cluster, from the credentials that botocore finds."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from orchestune.errors import Denied
from orchestune.kubeapi.eks import Presigned
from orchestune.kubeapi.kubeconfig import load

USER = {"cluster": "lab", "region": "eu-central-1"}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def address(header: str) -> str:
    text = header.removeprefix("Bearer k8s-aws-v1.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def test_the_token_is_an_address_that_names_the_cluster_among_what_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    parts = urlsplit(address(Presigned(USER).headers()["Authorization"]))
    query = dict(parse_qsl(parts.query))
    assert parts.hostname == "sts.eu-central-1.amazonaws.com"
    assert query["Action"] == "GetCallerIdentity"
    assert set(query["X-Amz-SignedHeaders"].split(";")) == {"host", "x-k8s-aws-id"}
    assert query["X-Amz-Credential"].split("/")[2:4] == ["eu-central-1", "sts"]
    assert int(query["X-Amz-Expires"]) <= 900
    assert "s3cr3t" not in parts.query


def test_a_token_is_used_for_a_while_and_then_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    now = [0.0]
    login = Presigned(USER, clock=lambda: now[0])
    first = login.headers()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDANOTHER")
    now[0] = 13 * 60
    assert login.headers() == first
    now[0] = 14 * 60
    assert "AKIDANOTHER" in address(login.headers()["Authorization"])


def test_a_token_runs_out_while_the_machine_sleeps() -> None:
    assert (Presigned.__init__.__kwdefaults__ or {})["clock"] is time.time


def test_a_profile_that_is_named_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[team]\naws_access_key_id=AKIDTEAM\naws_secret_access_key=x\n")
    assert "AKIDTEAM" in address(Presigned({**USER, "profile": "team"}).headers()["Authorization"])


@pytest.mark.parametrize("user", [USER, {**USER, "profile": "nobody"}])
def test_without_credentials_it_says_so(user: dict[str, str]) -> None:
    with pytest.raises(Denied, match="the login at AWS for the cluster 'lab' fails") as caught:
        Presigned(user).headers()
    assert "aws sso login" in caught.value.hint


def test_a_kubeconfig_may_name_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    path = tmp_path / "kubeconfig"
    document = {
        "current-context": "lab", "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "lab", "user": {"eks": USER}}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    assert load(str(path), None).login()["Authorization"].startswith("Bearer k8s-aws-v1.")
