"""Requests are repeated where that can help, and only there."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestune.client.address import ServerAccess, resolver
from orchestune.client.api import Client
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.client.connection.stream import SILENCE
from orchestune.client.connection.transport import Transport
from orchestune.errors import (
    Ambiguous,
    Denied,
    NotFound,
    OrchestuneError,
    StoreUnavailable,
    TooLarge,
    Unreachable,
    UsageError,
)
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.ports import free_port
from tests.testbeds.serving import serving
from tests.unit.client.fake_server import FakeServer, status, trial


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    new_client = Client.connect(server.resolve)
    yield new_client
    new_client.transport.close()


def test_one_connection_serves_many_requests(server: FakeServer, client: Client) -> None:
    for _ in range(5):
        client.experiment("sgd")
    assert len(server._http.open) == 1  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the threads are the server's, which it leaves alone
def test_a_fork_of_the_process_asks_over_a_connection_of_its_own(server: FakeServer, client: Client) -> None:
    client.experiment("sgd")
    fork = multiprocessing.get_context("fork").Process(target=client.experiment, args=("sgd",))
    fork.start()
    fork.join()
    client.experiment("sgd")
    assert fork.exitcode == 0
    assert len(server.requests_to("GET")) == 3
    assert len(server._http.open) == 2  # type: ignore[union-attr]


def test_a_dropped_reply_and_a_busy_server_are_repeated(server: FakeServer, client: Client) -> None:
    server.world.faults += ["drop", "503", "half", "503"]
    assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    assert len(server.requests_to("GET")) == 5


def test_what_a_proxy_says_while_the_server_begins_anew_is_ridden_out(server: FakeServer, client: Client) -> None:
    server.world.faults += ["502", "502"]
    assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    server.world.faults += ["502"] * 10
    impatient = client.clone(retry_seconds=0.0)
    with pytest.raises(Unreachable, match=r"the server is unavailable \(502 Bad Gateway\)"):
        impatient.experiment("sgd")
    impatient.close()


def test_a_record_is_waited_for_as_long_as_a_server_needs_to_take_it_in(
    server: FakeServer, client: Client, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    record.write_bytes(b"rows")
    server.world.faults += ["hold"]
    with closing(client.clone(retry_seconds=0.0)) as impatient:
        impatient.transport.timeout = 0.05
        release = threading.Timer(1.0, server.world.held.set)
        release.start()
        assert impatient.put_record(record)["imported"]
        release.join()
    assert len(server.requests_to("POST")) == 1


def test_a_post_is_repeated_with_the_same_key_and_counts_once(server: FakeServer, client: Client) -> None:
    server.world.faults += ["half"]
    client.create_experiment({"specification": {}})
    keys = {request.headers["Idempotency-Key"] for request in server.requests_to("POST")}
    assert len(server.requests_to("POST")) == 2
    assert len(keys) == 1
    assert len(server.world.created) == 1


def test_two_posts_have_two_keys(server: FakeServer, client: Client) -> None:
    client.stop("sgd")
    client.stop("sgd")
    assert len({request.headers["Idempotency-Key"] for request in server.requests_to("POST")}) == 2


def test_a_busy_server_is_given_up_after_the_patience_with_its_own_words(server: FakeServer) -> None:
    waited: list[float] = []
    transport = Transport(server.resolve, retry_seconds=5.0, sleep=waited.append, clock=lambda: sum(waited))
    server.world.faults += ["503"] * 100
    with pytest.raises(StoreUnavailable, match="the store is locked"):
        transport.request("GET", "/api/v1/server")
    transport.close()
    assert 5.0 <= sum(waited) < 8.0
    assert waited[0] < 0.06
    assert max(waited) <= 2.0


def test_who_waits_for_a_busy_server_hears_once_why(server: FakeServer) -> None:
    waited: list[float] = []
    messages: list[str] = []
    transport = Transport(
        server.resolve,
        sleep=waited.append,
        clock=lambda: sum(waited),
        on_wait=lambda error: messages.append(f"{sum(waited):.0f} s: {error.message}"),
    )
    server.world.faults += ["503"] * 100
    with pytest.raises(StoreUnavailable, match="the store is locked"):
        transport.request("GET", "/api/v1/server")
    assert len(messages) == 1 and "the store is locked" in messages[0]
    assert int(messages[0].split()[0]) < 6
    server.world.faults[:] = ["503"]
    transport.request("GET", "/api/v1/server")
    assert len(messages) == 1, "what took a moment is no news"
    transport.close()


def test_a_kept_connection_gets_the_timeout_of_now(server: FakeServer, client: Client) -> None:
    client.experiment("sgd")
    client.transport.timeout = SILENCE
    client.experiment("sgd")
    assert client.transport._connection is not None
    assert client.transport._connection.sock.gettimeout() == SILENCE
    assert len(server._http.open) == 1  # type: ignore[union-attr]


def test_no_server_is_unreachable_with_the_address_in_the_message() -> None:
    port = free_port()
    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}") as caught:
        Client.connect(lambda: ServerAccess(f"http://127.0.0.1:{port}", ""), retry_seconds=0.1).server()
    assert caught.value.exit_code == 3


def test_the_address_is_asked_for_again_after_a_restart_elsewhere(server: FakeServer, client: Client) -> None:
    client.server()
    server.restart()
    server.token = "another-token"
    assert client.experiment("sgd")["handle"] == "sgd-7f3a"


def test_a_new_token_of_a_restarted_server_is_taken_up(server: FakeServer, client: Client) -> None:
    client.server()
    server.token = "another-token"
    assert client.server()["protocol"] == 1


def test_a_wrong_token_is_an_error_at_once(server: FakeServer) -> None:
    client = Client.connect(lambda: ServerAccess(server.url, "wrong"))
    with pytest.raises(Denied):
        client.server()
    client.transport.close()
    assert len(server.requests_to("GET")) == 1


def test_what_is_refused_of_files_is_refused_in_the_words_of_the_server(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "code.tar.gz").write_bytes(b"code")
    client = Client.connect(lambda: ServerAccess(server.url, "wrong"))
    with pytest.raises(Denied, match="the token is unknown"):
        client.upload_bundle("ab" * 32, tmp_path / "code.tar.gz")
    client.transport.close()
    assert not server.requests_to("PUT"), "nothing is sent in vain"


def test_what_keeps_a_server_from_looking_for_files_is_told_in_its_words(server: FakeServer, tmp_path: Path) -> None:
    client = Client.connect(server.resolve, retry_seconds=0.0)
    server.world.faults += ["503"]
    with pytest.raises(StoreUnavailable, match="the store is locked"):
        client.upload_bundle("ab" * 32, tmp_path / "code.tar.gz")
    client.transport.close()


def test_errors_of_the_server_arrive_as_their_kind(server: FakeServer, client: Client) -> None:
    with pytest.raises(NotFound) as caught:
        client.experiment("nothing")
    assert caught.value.hint == "did you mean sgd-7f3a?"
    server.put(status("sgd-9999"))
    with pytest.raises(Ambiguous):
        client.experiment("sgd")


def test_a_path_that_the_server_lacks_is_an_error_in_its_words(server: FakeServer, client: Client) -> None:
    server.world.specification = {}
    with pytest.raises(OrchestuneError, match="there is nothing"):
        client.transport.request("GET", "/api/v1/nonsense")


def test_something_else_at_the_address_is_said_at_once_to_be_no_server(tmp_path: Path) -> None:
    waited: list[float] = []
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path)))) as other:
        transport = Transport(lambda: ServerAccess(f"http://127.0.0.1:{other.server_port}", "t"), sleep=waited.append)
        with pytest.raises(Unreachable, match=r"not an Orchestune server \(status 404\)"):
            transport.request("GET", "/api/v1/experiments")
        transport.close()
    assert waited == []


def test_a_certificate_that_is_not_trusted_is_told_at_once_with_what_makes_it_trusted(tmp_path: Path) -> None:
    waited: list[float] = []
    authority = Authority.create(tmp_path / "pki")
    authority.issue("server", "server", hosts=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pki" / "server.crt", tmp_path / "pki" / "server.key")
    other = ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler)
    other.socket = context.wrap_socket(other.socket, server_side=True)
    with serving(other):
        transport = Transport(lambda: ServerAccess(f"https://127.0.0.1:{other.server_port}", "t"), sleep=waited.append)
        with pytest.raises(Unreachable, match=r"the certificate of .* is not trusted") as caught:
            transport.request("GET", "/api/v1/experiments")
        transport.close()
    assert "SSL_CERT_FILE" in caught.value.hint
    assert waited == []


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder and writes no log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


class Narrow(QuietHandler):
    """As a proxy answers what is larger than it takes."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_error(413)


def test_a_proxy_that_takes_no_large_requests_is_no_wrong_address() -> None:
    waited: list[float] = []
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Narrow)) as other:
        transport = Transport(lambda: ServerAccess(f"http://127.0.0.1:{other.server_port}", "t"), sleep=waited.append)
        with pytest.raises(TooLarge, match="a proxy in front of the server refuses requests of this size") as caught:
            transport.request("PUT", "/api/v1/bundles/0", b"code")
        transport.close()
    assert "client_max_body_size" in caught.value.hint
    assert waited == []


def test_pages_are_fetched_to_their_end(server: FakeServer, client: Client) -> None:
    server.world.trials["sgd-7f3a"] = [trial(number) for number in range(1, 1203)]
    assert [item["number"] for item in client.trials("sgd")] == list(range(1, 1203))
    for index in range(205):
        server.put(status(f"other-{index:04}"))
    assert len(client.experiments(limit=203)) == 203


def test_a_bundle_goes_up_once(server: FakeServer, client: Client, tmp_path: Path) -> None:
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(b"x" * 3_000_000)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    server.world.faults += ["", "drop"]  # the reply to the PUT gets lost
    assert client.upload_bundle(digest, archive)
    assert not client.upload_bundle(digest, archive)
    assert server.world.bundles[digest] == archive.read_bytes()


def test_an_interrupted_download_goes_on_where_it_was(server: FakeServer, client: Client, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    server.world.files["plots/a b.png"] = content
    server.world.trials["sgd-7f3a"] = [trial(1)]
    digest = hashlib.sha256(content).hexdigest()
    server.world.faults += ["half", "half"]
    target = tmp_path / "out" / "a b.png"
    client.download("sgd", 1, {"path": "plots/a b.png", "digest": digest, "size": len(content)}, target)
    assert target.read_bytes() == content
    ranges = [request.headers.get("Range") for request in server.requests_to("GET", "artifacts/")]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={len(content) // 2}-"
    assert list(target.parent.iterdir()) == [target]


def test_a_damaged_download_leaves_no_file(server: FakeServer, client: Client, tmp_path: Path) -> None:
    server.world.files["best.pt"] = b"other bytes"
    server.world.trials["sgd-7f3a"] = [trial(1)]
    with pytest.raises(OrchestuneError, match="damaged"):
        client.download("sgd", 1, {"path": "best.pt", "digest": "0" * 64, "size": 11}, tmp_path / "best.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_keeps_its_name_in_a_locale_that_lacks_its_characters() -> None:
    code = "import os; from pathlib import Path; from orchestune.client.connection.transfer import local_name"
    code += "; print(os.fsencode(local_name(Path('a'), '\\u65e5.pt')))"
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (r"b'a/\xe6\x97\xa5.pt'" + "\n", "")


def test_the_environment_names_a_hosted_server() -> None:
    environ = {"ORCHESTUNE_SERVER": "https://tune.example.org/base/", "ORCHESTUNE_TOKEN": "t", "USER": "ada"}
    assert resolver(environ)() == ServerAccess("https://tune.example.org/base", "t", "ada")
    with pytest.raises(UsageError, match="invalid server address"):
        resolver({"ORCHESTUNE_SERVER": "tune.example.org"})


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1", "http://tune.example.org:99999", "http://tune.example.org:port", "http://tune..org",
        f"http://{'a' * 64}.org", "http://tune.example.org/our server", "http://tune.example.org/café", "http://",
    ],
)  # fmt: skip
def test_an_address_to_which_nothing_can_be_sent_is_refused_before(address: str) -> None:
    with pytest.raises(UsageError, match="invalid server address"):
        resolver({"ORCHESTUNE_SERVER": address})


@pytest.mark.parametrize("address", ["https://ada:secret@tune.example.org", "ada:secret@host", "http://a:se/cret@host"])
def test_an_address_with_a_password_is_refused_and_never_shown(address: str) -> None:
    with pytest.raises(UsageError, match="user or password in ORCHESTUNE_SERVER") as caught:
        resolver({"ORCHESTUNE_SERVER": address})
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://[::1]:80", "https://tüne.example/base", "http://localhost.", "http://localhost/@a"]
)
def test_an_address_may_have_a_port_a_path_and_any_letters_in_its_host(address: str) -> None:
    assert resolver({"ORCHESTUNE_SERVER": address, "USER": "ada"})().url == address


@pytest.mark.parametrize("token", ["a secret\nof two lines", "söcret–", "a\rsecret"])
def test_a_token_that_no_header_can_carry_is_refused_and_never_shown(tmp_path: Path, token: str) -> None:
    environ = {"ORCHESTUNE_SERVER": "https://tune.example.org", "ORCHESTUNE_TOKEN": token}
    with pytest.raises(UsageError, match="invalid token in ORCHESTUNE_TOKEN") as refused:
        resolver(environ)
    assert "secret" not in str(refused.value)
    Clusters(tmp_path).add(ConnectedCluster("lab", "hosted", url="https://tune.example.org", token=token))
    with pytest.raises(UsageError, match="invalid token in the registration of cluster 'lab'"):
        resolver({"ORCHESTUNE_HOME": str(tmp_path)}, "lab")


def test_the_callers_own_name_travels_beside_the_token_of_a_role(server: FakeServer) -> None:
    for user in ("ada@lab.example", "Zoë\r\nX: y", ""):
        with closing(Client.connect(lambda user=user: ServerAccess(server.url, server.token, user))) as client:  # type: ignore[misc]
            client.server()
    assert [request.headers.get("Orchestune-User") for request in server.world.requests] == [
        "ada@lab.example",
        "Zo%C3%AB%0D%0AX: y",
        None,
    ]


def test_a_server_that_no_address_leads_to_is_reached_by_what_dials_it(server: FakeServer) -> None:
    port = int(server.url.rpartition(":")[2])
    dialled: list[float] = []

    def dial(seconds: float) -> socket.socket:
        dialled.append(seconds)
        return socket.create_connection(("127.0.0.1", port), seconds)

    with closing(Client.connect(lambda: ServerAccess("http://inside.example", server.token, dial=dial))) as client:
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    assert dialled == [30.0]


def test_a_file_that_never_begins_to_arrive_is_given_up(server: FakeServer, tmp_path: Path) -> None:
    server.world.faults += ["503"] * 100
    impatient = Client.connect(server.resolve, retry_seconds=0.0)
    with closing(impatient), pytest.raises(Unreachable, match=r"cannot download best\.pt"):
        impatient.download("sgd", 1, {"path": "best.pt", "digest": "0" * 64, "size": 11}, tmp_path / "best.pt")
    assert not (tmp_path / "best.pt").exists()
