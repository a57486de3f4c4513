"""The user at the other end of a connection is the one that the kernel lists, or unknown."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestune.system import peers
from orchestune.system.peers import NoTable, SocketEnd, UnknownPeer, is_loopback, is_this_user, listed_user, user_of

CLIENT, SERVER = SocketEnd("127.0.0.1", 40000), SocketEnd("127.0.0.1", 8080)
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(local: str, remote: str, *, state: str = "01", uid: int = 1000, inode: int = 77) -> str:
    return (
        f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid:5} 0 {inode} 1 0 20 4 30 10 -1\n"
    )


def tables(folder: Path, *lines: str, name: str = "tcp") -> Path:
    (folder / name).write_text(HEADER + "".join(lines))
    return folder


FROM, TO = "0100007F:9C40", "0100007F:1F90"
MAPPED = "0000000000000000FFFF00000100007F"


def test_the_clients_end_counts_and_not_the_servers(tmp_path: Path) -> None:
    listed = tables(tmp_path, line(TO, FROM, uid=0), line(FROM, TO, uid=1234))
    assert listed_user(CLIENT, SERVER, listed) == 1234


def test_a_socket_of_ipv6_may_speak_ipv4(tmp_path: Path) -> None:
    listed = tables(tmp_path, line(f"{MAPPED}:9C40", f"{MAPPED}:1F90", uid=7), name="tcp6")
    assert listed_user(CLIENT, SERVER, listed) == 7
    assert listed_user(SocketEnd("::ffff:127.0.0.1", 40000), SocketEnd("::ffff:127.0.0.1", 8080), listed) == 7


@pytest.mark.parametrize("closed", [{"inode": 0}, {"state": "06"}, {"state": "05"}])
def test_a_socket_without_a_process_is_nobodys_though_it_is_listed_as_one_of_root(
    tmp_path: Path, closed: dict[str, int | str]
) -> None:
    listed = tables(tmp_path, line(FROM, TO, uid=0, **closed))  # type: ignore[arg-type]
    with pytest.raises(UnknownPeer):
        listed_user(CLIENT, SERVER, listed)


def test_what_is_not_listed_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownPeer):
        listed_user(CLIENT, SERVER, tables(tmp_path, line("0100007F:9C41", TO)))
    with pytest.raises(UnknownPeer):
        listed_user(CLIENT, SERVER, tables(tmp_path, line(FROM, "0100007F:1F91")))


def test_without_the_kernels_tables_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoTable):
        listed_user(CLIENT, SERVER, tmp_path)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("127.8.8.8", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("fe80::1%lo", False)],
)  # fmt: skip
def test_which_addresses_are_of_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@contextmanager
def connection(
    family: socket.AddressFamily = socket.AF_INET, host: str = "127.0.0.1"
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the client's, and the server's."""
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    with socket.create_server((host, 0), family=family) as listening:
        with socket.create_connection(listening.getsockname()[:2]) as client, listening.accept()[0] as server:
            yield client, server


@pytest.fixture(params=["query", "table"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose the way in which the kernel is queried."""
    if request.param == "table":
        monkeypatch.setattr(peers, "_queried_user", lambda client, server: None)
    return str(request.param)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_connection_of_this_process_is_of_this_user(way: str, family: socket.AddressFamily, host: str) -> None:
    with connection(family, host) as (_, server):
        assert is_this_user(server)
        assert user_of(server) == os.geteuid()


def test_a_client_that_speaks_ipv4_to_a_socket_of_ipv6_is_known(way: str) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening:
        with socket.create_connection(("127.0.0.1", listening.getsockname()[1])), listening.accept()[0] as server:
            assert server.getpeername()[0] == "::ffff:127.0.0.1"
            assert user_of(server) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_connection_of_another_user_is_not_of_this_one(way: str) -> None:
    with connection() as (client, server):
        os.fchown(client.fileno(), 65534, -1)
        assert user_of(server) == 65534


def test_a_client_that_has_reset_is_unknown(way: str) -> None:
    with connection() as (client, server):
        reset(client)
        with pytest.raises(UnknownPeer):
            user_of(server)


def test_a_client_that_resets_during_the_lookup_is_unknown_though_its_port_has_a_process_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = peers._queried_user
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as other:
        # an address of this process alone: other programs take the ports of 127.0.0.1 that become free
        own = ".".join(map(str, (127, 1 + os.getpid() // 65536, os.getpid() // 256 % 256, os.getpid() % 256)))
        client = socket.create_connection(listening.getsockname(), source_address=(own, 0))
        source = client.getsockname()

        def another_process_connects(*ends: SocketEnd) -> int | None:
            reset(client)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(source)
            other.connect(listening.getsockname())
            return query(*ends)

        monkeypatch.setattr(peers, "_queried_user", another_process_connects)
        with listening.accept()[0] as server, pytest.raises(UnknownPeer, match="closed the connection"):
            user_of(server)


def test_the_table_of_all_sockets_is_not_read_if_the_kernel_answers_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user can make it long, and each of many lookups slow."""
    with connection() as (client, server):
        if peers._queried_user(SocketEnd(*client.getsockname()), SocketEnd(*server.getsockname())) is None:
            pytest.skip("this kernel answers no queries for one socket")
        monkeypatch.setattr(peers, "listed_user", lambda *ends: pytest.fail("the table was read"))
        assert is_this_user(server)


def reset(client: socket.socket) -> None:
    """Close a connection by a reset, as after a crash."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
