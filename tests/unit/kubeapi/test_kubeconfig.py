"""A kubeconfig says which API server is meant, whom to trust, by which way it is reached and who asks."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import urllib3

from orchestune.errors import Denied, UsageError
from orchestune.kubeapi.kubeconfig import Kubeconfig, load
from orchestune.kubeapi.pod_account import of_this_pod
from tests.testbeds.gateways import proxy
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.serving import Handler, Listening, serving


class _Echo(Handler):
    def do_GET(self) -> None:
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        who = dict(part[0] for part in certificate["subject"]).get("commonName") if certificate else None
        self.send_json(200, {"who": who, "authorization": self.headers.get("Authorization")})


class Secure:
    """A TLS server that answers with the client's identity; its certificate is for `k8s.lab`, of an own authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder / "authority")
        self.authority.issue("server", "server", hosts=["k8s.lab"])
        self.authority.issue("ada", "ada")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "authority/server.crt", folder / "authority/server.key")
        context.load_verify_locations(folder / "authority/ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        self.http = Listening(_Echo)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.address = self.http.url.replace("http:", "https:")


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Secure]:
    server = Secure(tmp_path)
    with serving(server.http):
        yield server


def data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _kubeconfig(cluster: dict[str, Any] | None, **changes: Any) -> str:
    """One with a context whose cluster is this; None: with no cluster at all."""
    context = {"name": "lab", "context": {"cluster": "lab"}}
    clusters = [] if cluster is None else [{"name": "lab", "cluster": cluster}]
    return json.dumps({"current-context": "lab", "contexts": [context], "clusters": clusters, **changes})


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None, name: str = "lab") -> Path:
    """A kubeconfig with one context."""
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": f"of-{name}"}}],
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


def ask(kubeconfig: Path, **environ: str) -> dict[str, Any]:
    """Return the server's answer to the question who the caller is."""
    endpoint = load(str(kubeconfig), None, environ)
    with endpoint.pool() as pool:
        answer: dict[str, Any] = pool.request(
            "GET", endpoint.host, headers=endpoint.login(), retries=False, timeout=30
        ).json()
    return answer


@pytest.mark.parametrize("inside", [True, False])
def test_a_certificate_and_an_authority_are_taken_from_the_file_or_from_beside_it(
    secure: Secure, tmp_path: Path, *, inside: bool
) -> None:
    folder = secure.authority.folder
    if inside:
        cluster = {"certificate-authority-data": data(folder / "ca.crt")}
        user = {"client-certificate-data": data(folder / "ada.crt"), "client-key-data": data(folder / "ada.key")}
    else:
        cluster = {"certificate-authority": "authority/ca.crt"}
        user = {"client-certificate": "authority/ada.crt", "client-key": "authority/ada.key"}
    cluster |= {"server": secure.address, "tls-server-name": "k8s.lab"}
    assert ask(write(tmp_path / "config", cluster, user)) == {"who": "ada", "authorization": None}
    key_files = [name for name in os.listdir(os.environ.get("TMPDIR", "/tmp")) if name.startswith("orchestune-") and name.endswith(".pem")]  # fmt: skip  # noqa: E501
    assert key_files == [], "the key lies nowhere else"


def test_a_server_of_another_name_or_another_authority_is_not_trusted_unless_that_is_said(
    secure: Secure, tmp_path: Path
) -> None:
    cluster_entry = {"server": secure.address, "certificate-authority": "authority/ca.crt"}
    for cluster in (cluster_entry, {"server": secure.address, "tls-server-name": "k8s.lab"}):
        with pytest.raises(urllib3.exceptions.HTTPError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(write(tmp_path / "config", cluster))
    careless = {"server": secure.address, "insecure-skip-tls-verify": True}
    assert ask(write(tmp_path / "config", careless))["who"] is None


@pytest.mark.parametrize("by", ["proxy-url", "HTTPS_PROXY"])
def test_requests_and_other_connections_go_by_the_proxy(secure: Secure, tmp_path: Path, by: str) -> None:
    port = secure.http.server_address[1]
    cluster = {"certificate-authority": "authority/ca.crt", "server": f"https://k8s.lab:{port}"}
    with proxy("127.0.0.1", {"k8s.lab": "127.0.0.1"}, "ada:s c") as way:
        address = f"http://ada:s%20c@127.0.0.1:{way.port}"
        environ = {by: address} if by == "HTTPS_PROXY" else {}
        path = write(tmp_path / "config", cluster | ({} if environ else {"proxy-url": address}), {"token": "hers"})
        assert ask(path, **environ)["authorization"] == "Bearer hers"
        with load(str(path), None, environ).connect(30) as opened:
            opened.sendall(b"GET / HTTP/1.0\r\nAuthorization: by hand\r\n\r\n")
            with opened.makefile("rb") as answer:
                assert b"by hand" in answer.read()
        assert way.went == [f"k8s.lab:{port}"] * 2
        wrong = address.replace("ada:", "eve:")
        path = write(tmp_path / "config", cluster | {"proxy-url": wrong})
        with pytest.raises(urllib3.exceptions.HTTPError, match="407"):
            ask(path)
        with pytest.raises(OSError, match="407"):
            load(str(path), None, {}).connect(30)


def test_tokens_come_from_the_file_from_another_one_or_from_a_name_and_a_password(tmp_path: Path) -> None:
    cluster = {"server": "https://lab"}
    (tmp_path / "token").write_text("first\n")

    def authorization(**user: str) -> str:
        return load(str(write(tmp_path / "config", cluster, user)), None).login()["Authorization"]

    assert authorization(token="it") == "Bearer it"
    assert authorization(username="ada", password="pw") == f"Basic {base64.b64encode(b'ada:pw').decode()}"
    endpoint = load(str(write(tmp_path / "config", cluster, {"tokenFile": "token"})), None)
    assert endpoint.login() == {"Authorization": "Bearer first"}
    (tmp_path / "token").write_text("second\n")
    assert endpoint.login() == {"Authorization": "Bearer second"}
    (tmp_path / "token").unlink()
    with pytest.raises(Denied, match=r"token of the cluster in .* cannot be read: No such file"):
        endpoint.login()


@pytest.mark.parametrize("user", [
    {"token": "hers"}, {"tokenFile": "token"}, {"username": "ada", "password": "pw"}, {"token": "hers", "as": "bob"},
    {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./leaks"}},
])  # fmt: skip
def test_no_login_is_sent_and_no_login_program_runs_without_tls(tmp_path: Path, user: dict[str, Any]) -> None:
    (tmp_path / "token").write_text("first")
    (tmp_path / "leaks").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "leaks").chmod(0o700)
    with serving(Listening(_Echo)) as server:
        path = write(tmp_path / "config", {"server": server.url}, user)
        assert ask(path) == {"who": None, "authorization": None}
    assert not (tmp_path / "ran").exists()
    assert "no login is sent: use its https:// URL" in load(str(path), None).remedy


def program(folder: Path, status: dict[str, Any]) -> dict[str, Any]:
    """A login program beside the kubeconfig that counts how often it runs and keeps its input."""
    version = "client.authentication.k8s.io/v1"
    (folder / "answer").write_text(json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status}))
    text = f'#!/bin/sh\ncd {folder}\necho "$1 $ACCOUNT" >> runs\necho "$KUBERNETES_EXEC_INFO" > told\ncat answer\n'
    (folder / "login").write_text(text)
    (folder / "login").chmod(0o700)
    return {
        "apiVersion": version, "command": "./login", "args": ["get-token"],
        "env": [{"name": "ACCOUNT", "value": "hers"}], "provideClusterInfo": True,
    }  # fmt: skip


def test_a_login_program_is_told_what_it_needs_and_runs_again_when_its_token_has_expired(tmp_path: Path) -> None:
    def until(hours: int) -> str:
        return (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")

    login_program = program(tmp_path, {"token": "old", "expirationTimestamp": until(-1)})
    endpoint = load(str(write(tmp_path / "config", {"server": "https://lab"}, {"exec": login_program})), None)
    assert endpoint.login() == {"Authorization": "Bearer old"}
    program(tmp_path, {"token": "new", "expirationTimestamp": until(1)})
    for _ in range(3):
        assert endpoint.login() == {"Authorization": "Bearer new"}
    assert (tmp_path / "runs").read_text().splitlines() == ["get-token hers"] * 3, (
        "for a certificate, and twice a token"
    )
    assert json.loads((tmp_path / "told").read_text())["spec"]["cluster"] == {"server": "https://lab"}


@pytest.mark.parametrize(("mode", "asks"), [(None, True), ("IfAvailable", True), ("Always", True), ("Never", False)])
def test_a_login_program_that_never_asks_is_not_told_that_it_may(
    mode: str | None, asks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    login_program = program(tmp_path, {"token": "a"}) | ({"interactiveMode": mode} if mode else {})
    load(str(write(tmp_path / "config", {"server": "https://lab"}, {"exec": login_program})), None).login()
    assert json.loads((tmp_path / "told").read_text())["spec"]["interactive"] is asks


def test_of_many_who_ask_at_once_one_runs_the_login_program(tmp_path: Path) -> None:
    login_program = program(tmp_path, {"token": "old", "expirationTimestamp": "2020-01-01T00:00:00Z"})
    endpoint = load(str(write(tmp_path / "config", {"server": "https://lab"}, {"exec": login_program})), None)
    program(tmp_path, {"token": "it"})
    (tmp_path / "login").write_text((tmp_path / "login").read_text().replace("cat answer", "sleep 0.2\ncat answer"))
    (tmp_path / "runs").unlink()
    threads = [Thread(target=endpoint.login) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len((tmp_path / "runs").read_text().splitlines()) == 1


def test_a_login_program_may_give_a_certificate(secure: Secure, tmp_path: Path) -> None:
    pair = {name: (secure.authority.folder / f"ada.{end}").read_text() for name, end in _PAIR}
    cluster = {"server": secure.address, "certificate-authority": "authority/ca.crt", "tls-server-name": "k8s.lab"}
    path = write(tmp_path / "config", cluster, {"exec": program(tmp_path, pair)})
    assert ask(path) == {"who": "ada", "authorization": None}


_PAIR = (("clientCertificateData", "crt"), ("clientKeyData", "key"))


@pytest.mark.parametrize(
    ("answer", "message"),
    [("nothing", "gave no ExecCredential, but 7 characters"), ('{"status": {}}', "neither a token nor")],
)
def test_what_a_login_program_gives_instead_is_told(tmp_path: Path, answer: str, message: str) -> None:
    login_program = program(tmp_path, {})
    (tmp_path / "answer").write_text(answer)
    path = write(tmp_path / "config", {"server": "https://lab"}, {"exec": login_program})
    with pytest.raises(Denied, match=message):
        load(str(path), None)


@pytest.mark.parametrize("until", ["soon", "2030-01-01T00:00:00", 1893456000])
def test_a_time_of_expiry_that_cannot_be_read_is_told_without_the_token(tmp_path: Path, until: object) -> None:
    login_program = program(tmp_path, {"token": "sesame", "expirationTimestamp": until})
    path = write(tmp_path / "config", {"server": "https://lab"}, {"exec": login_program})
    with pytest.raises(Denied, match="gave a time of expiry that cannot be read") as caught:
        load(str(path), None)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("provider", "plugin"),
    [
        ("gcp", "gke-gcloud-auth-plugin"),
        ("azure", "kubelogin"),
        ("oidc", "kubectl oidc-login"),
        ("openstack", "replace `auth-provider` in it by `exec`"),
    ],
)
def test_a_removed_auth_provider_is_refused_with_the_plugin_that_replaces_it(
    tmp_path: Path, provider: str, plugin: str
) -> None:
    user = {"auth-provider": {"name": provider, "config": {"id-token": "secret"}}, "token": "unused"}
    path = write(tmp_path / "config", {"server": "https://lab"}, user)
    with pytest.raises(UsageError, match=f"auth provider '{provider}', which Kubernetes 1.26 has removed") as caught:
        load(str(path), None)
    assert plugin in caught.value.hint and "secret" not in str(caught.value)


def test_of_several_files_the_first_that_says_something_is_right(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    one = write(tmp_path / "one", {"server": "https://one"}, {"token": "1"}, "one")
    two = write(tmp_path / "far/two", {"server": "https://two"}, {"tokenFile": "token"}, "two")
    again = write(tmp_path / "again", {"server": "https://other"}, name="one")
    (tmp_path / "far/token").write_text("2")
    nowhere = f"{tmp_path}/nowhere{os.pathsep}~nobody-at-all/config"
    both = f"{one}{os.pathsep}{nowhere}{os.pathsep}{two}{os.pathsep}{again}"
    environ = {"KUBECONFIG": both}
    assert Kubeconfig.read(None, environ).context(None)[0] == "one"
    assert Kubeconfig.read(None, environ).context("two")[1]["namespace"] == "of-two"
    assert load(None, None, environ).host == "https://one"
    endpoint = load(both, "two")
    assert (endpoint.host, endpoint.login()) == ("https://two", {"Authorization": "Bearer 2"})


STRANGER = {"name": "lab", "context": {"cluster": "lab", "user": "eve"}}


def test_an_empty_file_among_several_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "comment").write_text("# nothing yet\n")
    one = write(tmp_path / "one", {"server": "https://one"}, {"token": "1"})
    files = os.pathsep.join(str(path) for path in (tmp_path / "empty", one, tmp_path / "comment"))
    assert load(files, None).host == "https://one"


def test_a_name_of_digits_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(
        "contexts: [{name: 2024, context: {cluster: 1, user: 2}}]\n"
        "clusters: [{name: 1, cluster: {server: 'https://one'}}]\nusers: [{name: 2, user: {token: a}}]\n"
    )
    assert load(str(path), "2024").host == "https://one"
    with pytest.raises(UsageError, match="has no context 'lab'") as caught:
        load(str(path), "lab")
    assert "it has 2024" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "cannot be used"),
        ("{{{", "cannot be used"),
        ("{}", "does not say which of its contexts is the current one"),
        (_kubeconfig(None, contexts=[]), "has no context 'lab'"),
        (_kubeconfig(None), "it has no 'lab'"),
        ("", "does not say which of its contexts is the current one"),
        (_kubeconfig({"server": "https://x"}, contexts=[STRANGER]), "it has no 'eve', which its context 'lab' needs"),
        (_kubeconfig({}), "it has no 'server'"),
        (_kubeconfig({"server": "https://x", "certificate-authority": "/no/such.crt"}), "No such file"),
        (_kubeconfig({"server": "https://x", "certificate-authority-data": "bm8="}), "cannot be used"),
        (_kubeconfig({"server": "https://x", "certificate-authority": "~nobody-at-all/ca"}), "No such file"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(UsageError, match=message):
        load(str(tmp_path / "config"), None)


def test_a_pod_asks_as_its_account_and_reads_its_token_again(secure: Secure, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in no pod"):
        of_this_pod({}, tmp_path)
    place = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(UsageError, match="this pod's account cannot be used"):
        of_this_pod(place, tmp_path)
    (tmp_path / "ca.crt").write_bytes((secure.authority.folder / "ca.crt").read_bytes())
    (tmp_path / "token").write_text("one")
    endpoint = of_this_pod(place, tmp_path)
    assert (endpoint.host, endpoint.login()) == ("https://10.96.0.1:443", {"Authorization": "Bearer one"})
    (tmp_path / "token").write_text("two")
    assert endpoint.login() == {"Authorization": "Bearer two"}


@pytest.mark.parametrize(
    ("cluster", "user", "problem"),
    [
        ({"server": "https://ada:secret@lab"}, {}, "contains a user name or password"),
        ({"server": "https://lab", "insecure-skip-tls-verify": "false"}, {}, "expected true or false"),
        ({"server": "https://lab"}, {"token": "se\ncret"}, "line breaks or other control characters"),
    ],
)
def test_values_that_would_weaken_the_login_or_show_it_are_refused(
    tmp_path: Path, cluster: dict[str, object], user: dict[str, object], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        load(str(write(tmp_path / "config", cluster, user)), None)
    assert "secret" not in str(refused.value) and "se\ncret" not in str(refused.value)


def test_a_token_with_a_final_line_break_is_used_and_an_upper_case_scheme_has_tls(tmp_path: Path) -> None:
    endpoint = load(str(write(tmp_path / "config", {"server": "HTTPS://lab"}, {"token": "hers\n"})), None)
    assert endpoint.login() == {"Authorization": "Bearer hers"}
    assert endpoint.host == "https://lab" and endpoint.tls is not None
