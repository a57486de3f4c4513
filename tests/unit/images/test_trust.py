"""The authorities that the client of a registry trusts: the registry's own, and all others as well."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from orchestune.errors import UsageError
from orchestune.images.registries.registry import Registry
from orchestune.images.registries.trust import trust
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.serving import Handler, Listening, serving
from tests.unit.images.fake_registry import fake_registry


class _RecordingHandler(Handler):
    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send(307, headers={"Location": f"https://{self.path.removeprefix('/to/')}"})
        else:
            self.send_json(200, {})


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Two servers, each of an authority of its own: `registry` and `elsewhere`, by their addresses."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    addresses = {}
    with ExitStack() as stack:
        for name in ("registry", "elsewhere"):
            Authority.create(tmp_path / name).issue("server", "server", hosts=["127.0.0.1"])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / name / "server.crt", tmp_path / name / "server.key")
            server = Listening(_RecordingHandler)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            addresses[name] = f"127.0.0.1:{stack.enter_context(serving(server)).server_port}"
        folder = tmp_path / "certs.d"
        folder.mkdir()
        (folder / "own.crt").write_bytes((tmp_path / "registry/ca.crt").read_bytes())
        yield addresses


def test_an_authority_of_the_registry_is_trusted_beside_that_which_the_environment_names(
    secure: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with requests.Session() as session:
        trust(session, tmp_path / "certs.d")
        assert session.get(f"https://{secure['registry']}/").ok
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"https://{secure['elsewhere']}/")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "elsewhere/ca.crt"))
    with requests.Session() as session:
        trust(session, tmp_path / "certs.d")
        assert session.get(f"https://{secure['registry']}/").ok
        assert session.get(f"https://{secure['registry']}/to/{secure['elsewhere']}/blob").ok


def test_what_is_no_certificate_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("a certificate")
    with (
        requests.Session() as session,
        pytest.raises(UsageError, match=r"ca\.crt cannot be used: it contains no PEM cert"),
    ):
        trust(session, tmp_path)


def test_no_proxy_leads_to_a_registry_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with fake_registry() as server, Registry(server.name, find=lambda _: None) as client:
        server.anonymous = True
        client.greet("team/model")
