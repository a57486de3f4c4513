"""Logins from Docker's configuration and from a helper that is really run."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from orchestune.errors import UsageError
from orchestune.images.registries.credentials import Credentials, as_docker_config, find

HELPER = """\
#!/bin/sh
read -r server
case "$1:$server" in
  get:token.lab) echo '{"ServerURL":"token.lab","Username":"<token>","Secret":"a token"}' ;;
  get:registry.lab:5000|get:https://index.docker.io/v1/) echo '{"Username":"ada","Secret":"of the keychain"}' ;;
  get:locked.lab) echo 'the keychain is locked' ; exit 1 ;;
  *) echo 'credentials not found in native keychain' ; exit 1 ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a keychain's helper on the PATH."""
    helper = tmp_path / "bin/docker-credential-chain"
    helper.parent.mkdir()
    helper.write_text(HELPER)
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:/usr/bin:/bin")
    return tmp_path


def configure(home: Path, **config: object) -> dict[str, str]:
    file = home / ".docker/config.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(config))
    return {"HOME": str(home)}


def plain(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_without_a_configuration_there_is_no_login(home: Path) -> None:
    assert find("registry.lab:5000", {"HOME": str(home)}) is None


def test_a_login_stands_under_its_host_or_a_whole_address(home: Path) -> None:
    auths = {"registry.lab:5000": plain("ada:a:b"), "https://index.docker.io/v1/": plain("hub:secret"), "x.lab": {}}
    environ = configure(home, auths=auths)
    assert find("registry.lab:5000", environ) == Credentials("ada", "a:b")
    assert find("docker.io", environ) == Credentials("hub", "secret")
    assert find("x.lab", environ) is None
    assert find("other.lab", environ) is None


def test_the_folder_of_the_configuration_may_be_named(home: Path) -> None:
    configure(home, auths={"r.lab": plain("ada:pw")})
    assert find("r.lab", {"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker")}) == Credentials("ada", "pw")


def test_a_helper_is_asked_as_docker_asks_it(home: Path) -> None:
    environ = configure(home, credsStore="chain", auths={"registry.lab:5000": {}, "plain.lab": plain("ada:pw")})
    assert find("registry.lab:5000", environ) == Credentials("ada", "of the keychain")
    assert find("docker.io", environ) == Credentials("ada", "of the keychain")
    assert find("token.lab", environ) == Credentials(identity_token="a token")
    assert find("plain.lab", environ) == Credentials("ada", "pw")
    assert find("unknown.lab", environ) is None


def test_a_helper_may_be_for_one_registry_alone(home: Path) -> None:
    environ = configure(home, credHelpers={"registry.lab:5000": "chain"})
    assert find("registry.lab:5000", environ) == Credentials("ada", "of the keychain")
    assert find("token.lab", environ) is None


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"credsStore": "missing"}, "docker-credential-missing not installed"),
        ({"credHelpers": {"locked.lab": "chain"}}, "the keychain is locked"),
        ({"auths": {"locked.lab": {"auth": "%"}}}, "cannot read the login for locked.lab"),
    ],
)
def test_what_cannot_be_read_names_the_file_and_the_way_out(home: Path, config: dict[str, object], why: str) -> None:
    environ = configure(home, **config)
    with pytest.raises(UsageError, match=why) as caught:
        find("locked.lab", environ)
    assert str(home / ".docker/config.json") in caught.value.message
    assert "docker login locked.lab" in caught.value.hint


def test_a_password_is_not_shown() -> None:
    text = repr([Credentials("ada", "sesame"), Credentials(identity_token="sesame")])
    assert "ada" in text and "sesame" not in text


def test_a_login_can_be_handed_to_a_cluster(home: Path) -> None:
    for registry, login in [("r.lab", Credentials("ada", "pw")), ("docker.io", Credentials(identity_token="t"))]:
        file = home / ".docker/config.json"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(as_docker_config({registry: login}))
        assert find(registry, {"HOME": str(home)}) == login
