"""Being let in by a registry, and what its refusals become."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError
from orchestune.images.registries.credentials import Credentials
from orchestune.images.registries.manifests import (
    DOCKER_LIST,
    OCI_INDEX,
    OCI_MANIFEST,
    Manifest,
    Platform,
    parse_platform,
)
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.registry import Registry, is_public
from tests.unit.images.fake_registry import FakeRegistry, fake_registry

ADA = Credentials("ada", "pw")
MANIFEST = Manifest(OCI_MANIFEST, b'{"config": {}}')


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with fake_registry() as server:
        server.manifests["a/b:1"] = MANIFEST
        yield server


def ask(server: FakeRegistry, login: Credentials | None, *, times: int = 1) -> list[str | None]:
    with Registry(server.name, find=lambda registry: login) as registry:
        return [registry.find("a/b", "1") for _ in range(times)]


def test_a_token_is_got_once_with_the_users_login_and_used_again(server: FakeRegistry) -> None:
    assert ask(server, ADA, times=3) == [MANIFEST.digest] * 3
    assert server.asked == [{"service": ["the, registry"], "scope": ["repository:a/b:pull"]}]
    assert len(server.requests) == 4


def test_a_token_that_ran_out_is_replaced(server: FakeRegistry) -> None:
    with Registry(server.name, find=lambda registry: ADA) as registry:
        assert registry.find("a/b", "1")
        server.valid.clear()
        assert registry.find("a/b", "1")
    assert len(server.asked) == 2


def test_nobody_needs_a_login_for_a_public_image(server: FakeRegistry) -> None:
    server.anonymous = True
    assert ask(server, None) == [MANIFEST.digest]


def test_an_image_is_public_where_nobody_needs_a_login(server: FakeRegistry) -> None:
    image = Reference(server.name, "a/b", "1")
    assert not is_public(image)
    server.anonymous = True
    assert is_public(image) and not is_public(replace(image, tag="2"))
    server.status = 429
    assert not is_public(image)


def test_an_identity_token_is_exchanged(server: FakeRegistry) -> None:
    assert ask(server, Credentials(identity_token="refresh")) == [MANIFEST.digest]
    [form] = server.refreshed
    assert form["grant_type"] == ["refresh_token"] and form["scope"] == ["repository:a/b:pull"]


def test_a_registry_may_ask_for_the_password_itself(server: FakeRegistry) -> None:
    server.kind = "basic"
    assert ask(server, ADA) == [MANIFEST.digest]
    assert not server.asked


def test_a_password_never_goes_to_a_stranger_without_encryption(server: FakeRegistry) -> None:
    server.realm = "http://tokens.example.org/token"
    with pytest.raises(Denied, match=r"without TLS: 'http://tokens\.example\.org/token"):
        ask(server, ADA)


@pytest.mark.parametrize(("status", "kind"), [(503, TemporaryError), (429, TemporaryError), (400, Denied)])
def test_whoever_gives_tokens_may_be_away_for_a_while(
    server: FakeRegistry, status: int, kind: type[OrchestuneError]
) -> None:
    server.token_status = status
    with pytest.raises(kind, match=f"gives no token: {status} from"):
        ask(server, ADA)


def test_netrc_is_left_alone(server: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(Denied):
        ask(server, None)


@pytest.mark.parametrize("login", [None, Credentials("ada", "wrong"), Credentials(identity_token="wrong")])
@pytest.mark.parametrize("kind", ["basic", "bearer"])
def test_a_refusal_names_the_registry_and_how_to_log_in(
    server: FakeRegistry, login: Credentials | None, kind: str
) -> None:
    server.kind = kind
    with pytest.raises(Denied, match=f"the registry {server.name} does not let this account show") as caught:
        ask(server, login)
    assert f"docker login {server.name}" in caught.value.hint
    assert "wrong" not in str(caught.value)


def test_what_is_not_there_is_told(server: FakeRegistry) -> None:
    with Registry(server.name, find=lambda registry: ADA) as registry:
        assert registry.find("a/b", "2") is None
        with pytest.raises(NotFound, match=f"there is no image {server.name}/a/b:2"):
            registry.manifest("a/b", "2")


@pytest.mark.parametrize(("status", "kind"), [(429, TemporaryError), (500, TemporaryError), (400, OrchestuneError)])
def test_other_failures_carry_the_registrys_own_words(
    server: FakeRegistry, status: int, kind: type[OrchestuneError]
) -> None:
    server.status = status
    with Registry(server.name, find=lambda registry: ADA) as registry:
        with pytest.raises(kind, match="so it is") as caught:
            registry.manifest("a/b", "1")
    assert type(caught.value) is kind


def test_a_registry_that_is_away_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening
        name = f"127.0.0.1:{closed.getsockname()[1]}"
        with Registry(name, find=lambda registry: None) as registry:
            with pytest.raises(Unreachable, match=f"the registry {name} cannot be reached: Connection refused"):
                registry.find("a/b", "1")


def test_a_host_that_has_no_address_is_unreachable() -> None:
    with Registry("registry.invalid", find=lambda registry: None) as registry:
        with pytest.raises(Unreachable, match=r"registry\.invalid cannot be reached: .+"):
            registry.find("a/b", "1")


def test_a_registry_without_tls_has_to_be_marked_as_one(server: FakeRegistry) -> None:
    elsewhere = f"0.0.0.0:{server.server_port}"  # means this machine, and is not the loopback address
    with Registry(elsewhere, find=lambda registry: ADA) as registry:
        with pytest.raises(UsageError, match=f"{elsewhere} cannot be trusted: .+") as caught:
            registry.find("a/b", "1")
    assert "http://" in caught.value.hint
    with Registry(elsewhere, find=lambda registry: ADA, plain=True) as registry:
        assert registry.find("a/b", "1") == MANIFEST.digest


def test_bytes_that_do_not_fit_the_digest_are_refused(server: FakeRegistry) -> None:
    digest = "sha256:" + "0" * 64
    server.manifests[f"a/b:{digest}"] = MANIFEST
    with Registry(server.name, find=lambda registry: ADA) as registry:
        with pytest.raises(OrchestuneError, match="does not match"):
            registry.manifest("a/b", digest)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_lists_its_platforms_and_not_its_attestations(media_type: str) -> None:
    entries = [
        {"digest": "sha256:1", "platform": {"architecture": "amd64", "os": "linux"}},
        {"digest": "sha256:2", "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
        {"digest": "sha256:3", "platform": {"architecture": "unknown", "os": "unknown"}},
    ]
    index = Manifest(media_type, json.dumps({"manifests": entries}).encode())
    assert index.listed() == {Platform("amd64"): "sha256:1", Platform("arm64"): "sha256:2"}


@pytest.mark.parametrize("spelling", ["linux/arm64", "arm64", "aarch64", "linux/arm64/v8"])
def test_platforms_have_several_spellings(spelling: str) -> None:
    assert str(parse_platform(spelling)) == "linux/arm64"


def test_what_is_no_image_is_refused(server: FakeRegistry) -> None:
    server.manifests["a/b:chart"] = Manifest("application/vnd.example+json", b"{}")
    with Registry(server.name, find=lambda registry: ADA) as registry:
        with pytest.raises(OrchestuneError, match=r"is not an image .media type: application/vnd\.example"):
            registry.manifest("a/b", "chart")


@pytest.mark.parametrize("answer", [b"<html>sign in</html>", b"[]", b'{"tags": 5}'])
def test_a_list_of_tags_that_is_none_is_refused(server: FakeRegistry, answer: bytes) -> None:
    server.manifests["a/b/tags/list:"] = Manifest("application/json", answer)
    with Registry(server.name, find=lambda _: ADA) as registry:
        with pytest.raises(OrchestuneError, match=f"the registry {server.name} sent no list of tags for a/b"):
            registry.tags("a/b")
