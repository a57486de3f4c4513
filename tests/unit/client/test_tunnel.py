"""A server inside a cluster is reached through the API server, with a token of the strongest role."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest

from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels.tunnel import Tunnel
from orchestune.client.tunnels.websocket import join
from orchestune.clusters.existing.client import ContextClient
from orchestune.errors import ClusterDestroyed, Denied, Unreachable, UsageError
from tests.unit.client.fake_api_server import FakeApiServer, pod
from tests.unit.client.fake_server import FakeServer, status, until


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        fake.token = "token-of-owner"
        fake.put(status())
        yield fake


@pytest.fixture
def api(server: FakeServer) -> Iterator[FakeApiServer]:
    with FakeApiServer(int(server.url.rpartition(":")[2])) as fake:
        yield fake


def forwarded(api: FakeApiServer) -> list[str]:
    """The connections that were asked for."""
    return [line for line in api.asked if "portforward" in line]


def test_requests_go_through_the_api_server_with_the_callers_name(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    tunnel = Tunnel(api.cluster(tmp_path, user="ada@lab"))
    with closing(Client.connect(tunnel.resolve)) as client:
        for _ in range(3):
            assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    assert {request.headers["Orchestune-User"] for request in server.world.requests} == {"ada@lab"}
    assert len(forwarded(api)) == 1
    assert sum("/token" in line for line in api.asked) == 1


def test_a_login_that_was_renewed_in_the_kubeconfig_is_taken_at_once(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    tunnel = Tunnel(api.cluster(tmp_path, user="ada@lab"))
    with closing(Client.connect(tunnel.resolve)) as client:
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    api.login = "another"
    api.kubeconfig(tmp_path, token="another")
    with closing(Client.connect(tunnel.resolve)) as client:
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    api.unknown = True
    request_count = len(api.asked)
    with closing(Client.connect(tunnel.resolve)) as client, pytest.raises(Denied, match="does not accept your login"):
        client.experiment("sgd")
    assert len(api.asked) == request_count + 2


def test_the_way_to_a_cluster_loads_nothing_slow(server: FakeServer, api: FakeApiServer, tmp_path: Path) -> None:
    code = (
        "import sys; from orchestune.client.api import Client; "
        "from orchestune.client.clusters import ConnectedCluster; "
        "from orchestune.client.tunnels.tunnel import Tunnel; "
        "client = Client.connect(Tunnel(ConnectedCluster('lab', 'kubernetes', sys.argv[1], 'lab', 'ml')).resolve); "
        "assert client.experiment('sgd')['handle'] == 'sgd-7f3a'; print(' '.join(sys.modules))"
    )
    command = [sys.executable, "-c", code, str(api.kubeconfig(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"kubernetes", "pydantic", "requests", "ruamel.yaml", "google.auth"}


def test_large_bodies_arrive_whole_in_both_directions(server: FakeServer, api: FakeApiServer, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 3
    server.world.files["model"] = content
    server.put(status("sgd-9999", name="x" * 3_000_000))
    with closing(Client.connect(Tunnel(api.cluster(tmp_path)).resolve)) as client:
        assert len(client.experiment("sgd-9999")["name"]) == 3_000_000
        (tmp_path / "archive").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        assert client.upload_bundle(digest, tmp_path / "archive")
    assert server.world.bundles[digest] == content


def test_the_strongest_role_that_may_be_had_is_taken_and_remembered(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    remembered: list[ConnectedCluster] = []
    api.roles = {"viewer"}
    tunnel = Tunnel(api.cluster(tmp_path), remember=remembered.append)
    assert tunnel.resolve().token == "token-of-viewer"
    assert [cluster.role for cluster in remembered] == ["viewer"]
    before = len(api.asked)
    assert Tunnel(remembered[0]).resolve().token == "token-of-viewer"
    assert len(api.asked) - before == 1


def test_a_token_is_renewed_before_it_expires(api: FakeApiServer, tmp_path: Path) -> None:
    now, counter = [1000.0], iter(range(10))
    api.token = lambda role: f"{role}-{next(counter)}"
    api.lifetime = 600
    tunnel = Tunnel(api.cluster(tmp_path), clock=lambda: now[0])
    assert tunnel.resolve().token == "owner-0"
    now[0] += 440
    assert tunnel.resolve().token == "owner-0"
    now[0] += 20
    assert tunnel.resolve().token == "owner-1"


def test_a_stream_goes_on_without_a_gap_after_the_connections_were_cut(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    client = Client.connect(Tunnel(api.cluster(tmp_path)).resolve)
    lines: list[str] = []

    def read() -> None:
        lines.extend(chunk["text"] for chunk in client.follow_logs("sgd"))

    thread = threading.Thread(target=read)
    thread.start()
    for part in range(4):
        for number in range(10):
            server.log(f"line {10 * part + number}\n")
        until(lambda part=part: len(forwarded(api)) > part, "a new connection")
        api.cut()
    server.update("sgd-7f3a", state="completed")
    thread.join(60)
    assert lines == [f"line {number}\n" for number in range(40)]


def test_a_connection_that_fell_silent_is_given_up_and_made_anew(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    tunnel = Tunnel(api.cluster(tmp_path), silence=3.0, ping=0.2)
    with closing(Client.connect(tunnel.resolve)) as client:
        client.server()
        api.silence()
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    assert len(forwarded(api)) == 2


def test_a_quiet_connection_that_answers_pings_is_kept(server: FakeServer, api: FakeApiServer, tmp_path: Path) -> None:
    tunnel = Tunnel(api.cluster(tmp_path), silence=3.0, ping=0.2)
    with closing(Client.connect(tunnel.resolve)) as client:
        client.server()
        until(lambda: api.pings >= 20, "pings for longer than the silence that is suffered")
        client.server()
    assert len(forwarded(api)) == 1


def test_a_restarted_server_is_found_in_its_new_pod(server: FakeServer, api: FakeApiServer, tmp_path: Path) -> None:
    with closing(Client.connect(Tunnel(api.cluster(tmp_path)).resolve)) as client:
        client.server()
        api.pods = [pod("orchestune-server-2")]
        server.restart()
        api.port = int(server.url.rpartition(":")[2])
        assert client.experiment("sgd")["handle"] == "sgd-7f3a"
    assert any("orchestune-server-2/portforward" in line for line in api.asked)


@pytest.mark.parametrize(("path", "verb"), [("/pods?", "list pods"), ("portforward", "create pods/portforward")])
def test_a_missing_right_is_named_with_verb_and_resource(
    api: FakeApiServer, tmp_path: Path, path: str, verb: str
) -> None:
    api.forbidden = [path]
    moments = count(1000.0, 5.0)
    tunnel = Tunnel(api.cluster(tmp_path), clock=lambda: next(moments))
    with pytest.raises(Denied, match=f"you may not {verb} in the namespace ml of cluster 'lab'") as caught:
        Client.connect(tunnel.resolve, retry_seconds=60).server()
    assert "orchestune-viewer" in caught.value.hint


@pytest.mark.parametrize("ready", [True, False])
def test_a_new_pod_is_waited_for_until_the_server_lets_people_reach_it(
    server: FakeServer, api: FakeApiServer, tmp_path: Path, *, ready: bool
) -> None:
    api.forbidden, api.pods = ["portforward"], [pod(ready=ready)]
    tunnel = Tunnel(api.cluster(tmp_path), clock=lambda: 1000.0)
    refusal = (
        "you may not create pods/portforward"
        if ready
        else "orchestune-server-1 is running, and does not accept connections"
    )
    with pytest.raises(Unreachable, match=refusal):
        Client.connect(tunnel.resolve, retry_seconds=0).server()
    threading.Timer(0.3, api.forbidden.clear).start()
    with closing(Client.connect(tunnel.resolve, retry_seconds=60)) as client:
        assert client.server()["protocol"] == 1


def test_the_time_for_a_pod_to_be_added_begins_anew_after_each_connection(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    now = [1000.0]
    tunnel = Tunnel(api.cluster(tmp_path), clock=lambda: now[0])
    for _ in range(2):
        api.forbidden = ["portforward"]
        with pytest.raises(Unreachable):
            tunnel.dial(1.0)
        now[0] += 60.0
        api.forbidden = []
        tunnel.dial(1.0).close()


def test_somebody_without_any_role_is_told_whom_to_ask(api: FakeApiServer, tmp_path: Path) -> None:
    api.roles = set()
    with pytest.raises(Denied, match="you may not create serviceaccounts/token") as caught:
        Tunnel(api.cluster(tmp_path)).resolve()
    assert "ask its administrator" in caught.value.hint


def test_a_login_that_has_expired_is_read_anew_after_the_next_login(api: FakeApiServer, tmp_path: Path) -> None:
    tunnel = Tunnel(api.cluster(tmp_path))
    api.kubeconfig(tmp_path, token="an old one")
    with pytest.raises(Denied, match="does not accept your login"):
        tunnel.resolve()
    api.kubeconfig(tmp_path)
    assert tunnel.resolve().token == "token-of-owner"


def test_whom_a_cluster_at_aws_does_not_know_hears_who_can_change_that(
    api: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    cluster = api.cluster(tmp_path)
    api.kubeconfig(tmp_path, eks={"cluster": "lab", "region": "eu-central-1"})
    with pytest.raises(Denied) as by_tunnel:
        Tunnel(cluster).resolve()
    with pytest.raises(Denied) as by_api:
        ContextClient(cluster.kubeconfig, cluster.context).call("GET", "/api/v1/namespaces")
    for caught in (by_tunnel, by_api):
        assert "names you under `access` in its file" in caught.value.hint
    api.kubeconfig(tmp_path, token="an old one")
    with pytest.raises(Denied) as ordinary:
        ContextClient(cluster.kubeconfig, cluster.context).call("GET", "/api/v1/namespaces")
    assert "log in to the cluster again" in ordinary.value.hint


def test_a_server_without_a_pod_and_one_that_cannot_start_are_told_apart(api: FakeApiServer, tmp_path: Path) -> None:
    client = Client.connect(Tunnel(api.cluster(tmp_path)).resolve, retry_seconds=0)
    api.pods = []
    with pytest.raises(Unreachable, match="it has no pod in namespace ml"):
        client.server()
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    api.pods = [pod(ready=False, phase="Pending", conditions=[condition], containerStatuses=[])]
    with pytest.raises(Unreachable, match="no node can run it: 0/3 nodes are available"):
        client.server()


@pytest.mark.parametrize(
    ("path", "status"), [("/token", 429), ("/pods?", 500), ("portforward", 404), ("portforward", 500)]
)
def test_what_may_be_otherwise_in_a_moment_is_tried_again(
    server: FakeServer, api: FakeApiServer, tmp_path: Path, path: str, status: int
) -> None:
    api.failing[path] = status
    resolve = Tunnel(api.cluster(tmp_path)).resolve
    with pytest.raises(Unreachable, match=f"answered {status}"):
        Client.connect(resolve, retry_seconds=0).server()
    with closing(Client.connect(resolve, retry_seconds=60)) as client:
        threading.Timer(0.3, api.failing.clear).start()
        assert client.server()["protocol"] == 1


def test_a_server_that_does_not_listen_yet_is_waited_for(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    port, api.port = api.port, 1
    api.pods = [pod(ready=False)]
    client = Client.connect(Tunnel(api.cluster(tmp_path)).resolve, retry_seconds=0)
    with pytest.raises(Unreachable, match="does not accept connections yet") as caught:
        client.server()
    assert caught.value.hint.startswith("retry in a moment; ")
    assert "`orchestune cluster connect -n lab` repairs it" in caught.value.hint
    api.port = port
    with closing(client):
        client.server()


def test_an_api_server_that_is_away_is_told_with_its_address(tmp_path: Path) -> None:
    with FakeApiServer(1) as api:
        cluster = api.cluster(tmp_path)
    with pytest.raises(
        Unreachable, match=r"the API server 127\.0\.0\.1:\d+ of cluster 'lab' cannot be reached: .*refused"
    ):
        Tunnel(cluster).resolve()


def test_a_kubeconfig_or_context_that_is_not_there_is_wrong_use(api: FakeApiServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no kubeconfig at /nowhere"):
        Tunnel(ConnectedCluster("lab", "kubernetes", "/nowhere", "lab", "ml")).resolve()
    with pytest.raises(UsageError, match="has no context 'lap'"):
        Tunnel(api.cluster(tmp_path, context="lap")).resolve()
    (tmp_path / "broken").write_text("- nothing")
    with pytest.raises(UsageError, match="cannot be used"):
        Tunnel(api.cluster(tmp_path, kubeconfig=str(tmp_path / "broken"))).resolve()


def test_a_login_program_gives_the_token_and_its_failure_is_told(api: FakeApiServer, tmp_path: Path) -> None:
    cluster = api.cluster(tmp_path)
    program = tmp_path / "login"
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "ada's own"},
    }
    program.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n".replace("ada's", "ada'\\''s"))
    program.chmod(0o700)
    api.kubeconfig(tmp_path, exec={"apiVersion": answer["apiVersion"], "command": str(program)})
    assert Tunnel(cluster).resolve().token == "token-of-owner"
    program.write_text("#!/bin/sh\necho 'the session has expired, run: cloud login' >&2; exit 7\n")
    with pytest.raises(Denied, match=r"login program .* fails: .*the session has expired, run: cloud login"):
        Tunnel(cluster).resolve()
    program.unlink()
    with pytest.raises(Denied, match=r"login program .* fails: .*No such file"):
        Tunnel(cluster).resolve()


def test_who_does_not_read_holds_up_the_sender_and_not_the_memory() -> None:
    web, far = socket.socketpair()
    wire = join(web)
    far.settimeout(2)
    block = bytes([0x82, 126]) + (60_001).to_bytes(2, "big") + b"\0" + bytes(60_000)
    far.sendall(bytes([0x82, 3]) + b"\0\x16\x21")  # the first frame of a channel holds its port alone
    sent = 0
    with suppress(TimeoutError):
        while sent < 100 * len(block):
            far.sendall(block)
            sent += len(block)
    assert sent < 5_000_000
    wire.socket.close()
    far.close()


def test_a_frame_that_is_too_large_ends_the_connection() -> None:
    web, api_server = socket.socketpair()
    with api_server, join(web).socket as connection:
        connection.settimeout(30)
        api_server.sendall(bytes([0x82, 127]) + (1 << 40).to_bytes(8, "big"))
        assert connection.recv(1) == b""


RECORD = {"data": {"archive": "s3://team/lab", "by": "ada", "at": "2026-12-02T01:02:03Z"}}


@pytest.mark.parametrize("roles", [{"owner"}, set[str]()], ids=["an administrator", "a user whose Roles are gone"])
def test_colleagues_of_a_destroyed_cluster_hear_and_remember_where_its_archive_is(
    api: FakeApiServer, tmp_path: Path, roles: set[str]
) -> None:
    api.pods, api.roles = [], roles
    api.objects["/api/v1/namespaces/ml/configmaps/orchestune-archive"] = RECORD
    remembered: list[ConnectedCluster] = []
    tunnel = Tunnel(api.cluster(tmp_path), remember=remembered.append)
    expected = "cluster 'lab' was destroyed by ada at 2026-12-02 01:02 UTC; its records and files are in s3://team/lab"
    with pytest.raises(ClusterDestroyed, match=expected):
        Client.connect(tunnel.resolve, retry_seconds=60).server()
    assert (remembered[-1].archive, remembered[-1].destroyed_by) == ("s3://team/lab", "ada")
    api.failing["/"] = 503
    with pytest.raises(ClusterDestroyed, match=expected):
        Client.connect(Tunnel(remembered[-1]).resolve, retry_seconds=0).server()


def test_a_cluster_that_is_connected_again_is_no_longer_remembered_as_destroyed(
    server: FakeServer, api: FakeApiServer, tmp_path: Path
) -> None:
    remembered: list[ConnectedCluster] = []
    destroyed = api.cluster(tmp_path, destroyed_by="ada", destroyed_at="2026-12-02T01:02:03Z")
    with closing(Client.connect(Tunnel(destroyed, remember=remembered.append).resolve)) as client:
        client.server()
    assert remembered[-1].destroyed_at == ""
