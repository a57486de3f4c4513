"""Profiles of AWS's own configuration: roles that are taken on, and logins that have run out."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.errors import CredentialsExpired
from orchestune.clusters.aws.provisioner import AwsProvisioner
from orchestune.errors import Denied
from orchestune.kubeapi.eks import Presigned
from tests.integration.aws import plain
from tests.testbeds.aws.fake import REGION, Fake
from tests.testbeds.aws.identities import ACCOUNT
from tests.testbeds.aws.portal import cached
from tests.testbeds.home import Home

START = "https://team.awsapps.example/start"
SSO = f"""
[profile team]
sso_start_url = {START}
sso_region = {REGION}
sso_account_id = {ACCOUNT}
sso_role_name = ml-team
region = {REGION}
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of profiles, and nothing of credentials in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


def test_a_profile_takes_on_a_role_from_the_keys_of_another(aws: Fake, configured: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        role = plain.role("ml-team", "ec2.amazonaws.com")
    (configured / "credentials").write_text(
        f"[base]\naws_access_key_id = {aws.user.access_key}\naws_secret_access_key = {aws.user.secret}\n"
    )
    (configured / "config").write_text(f"[profile team]\nrole_arn = {role}\nsource_profile = base\nregion = {REGION}\n")
    payer = AwsProvisioner(Aws(profile="team"), "team").payer()
    assert payer.identity.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/ml-team/") and payer.region == REGION


def test_a_login_by_sso_that_has_run_out_says_how_to_log_in_with_that_profile(aws: Fake, configured: Path) -> None:
    (configured / "config").write_text(SSO)
    with pytest.raises(CredentialsExpired) as caught:
        AwsProvisioner(Aws(profile="team"), "team").payer()
    assert "`aws sso login --profile team`" in caught.value.hint
    with pytest.raises(Denied) as denied:
        Presigned({"cluster": "vision", "region": REGION, "profile": "team"}).headers()
    assert "`aws sso login --profile team`" in denied.value.hint


@pytest.mark.parametrize("seconds", [3600, -60])
def test_a_login_by_sso_is_taken_from_where_the_command_line_of_aws_keeps_it(
    aws: Fake, configured: Path, seconds: float
) -> None:
    (configured / "config").write_text(SSO)
    cache = configured / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    name, text = cached(START, REGION, aws.portal.log_in("ada"), seconds)
    (cache / name).write_text(text)
    login = {"AWS_PROFILE": "team", "AWS_CONFIG_FILE": str(configured / "config"), "HOME": str(configured)}
    settings = {name: value for name, value in aws.environment().items() if "KEY" not in name} | login
    with Home(**settings) as home:
        if seconds < 0:
            errors = home.run("cluster", "list", "--cloud", "aws", expect=2).stderr
            assert "`aws sso login --profile team`" in errors
        else:
            home.run("cluster", "list", "--cloud", "aws")
            caller = aws.world.caller
            assert caller is not None and caller.principal.endswith(":role/AWSReservedSSO_ml-team")
