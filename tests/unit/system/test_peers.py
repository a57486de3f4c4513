"""The user at the other end of a connection is the one that the kernel lists, or unknown."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from orchestune.system.peers import End, NoTable, UnknownPeer, is_loopback, is_this_user, user_of

CLIENT, SERVER = End("127.0.0.1", 40000), End("127.0.0.1", 8080)
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
    assert user_of(CLIENT, SERVER, listed) == 1234


def test_a_socket_of_ipv6_may_speak_ipv4(tmp_path: Path) -> None:
    listed = tables(tmp_path, line(f"{MAPPED}:9C40", f"{MAPPED}:1F90", uid=7), name="tcp6")
    assert user_of(CLIENT, SERVER, listed) == 7
    assert user_of(End("::ffff:127.0.0.1", 40000), End("::ffff:127.0.0.1", 8080), listed) == 7


@pytest.mark.parametrize("closed", [{"inode": 0}, {"state": "06"}, {"state": "05"}])
def test_a_socket_without_a_process_is_nobodys_though_it_is_listed_as_one_of_root(
    tmp_path: Path, closed: dict[str, int | str]
) -> None:
    listed = tables(tmp_path, line(FROM, TO, uid=0, **closed))  # type: ignore[arg-type]
    with pytest.raises(UnknownPeer):
        user_of(CLIENT, SERVER, listed)


def test_what_is_not_listed_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownPeer):
        user_of(CLIENT, SERVER, tables(tmp_path, line("0100007F:9C41", TO)))
    with pytest.raises(UnknownPeer):
        user_of(CLIENT, SERVER, tables(tmp_path, line(FROM, "0100007F:1F91")))


def test_without_the_kernels_tables_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(NoTable):
        user_of(CLIENT, SERVER, tmp_path)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("127.8.8.8", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
     ("fe80::1%lo", False)],
)  # fmt: skip
def test_which_addresses_are_of_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_real_connection_of_this_process_is_of_this_user(family: socket.AddressFamily, host: str) -> None:
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this kernel has no IPv6")
    with socket.create_server((host, 0), family=family) as listening:
        address = listening.getsockname()[:2]
        with socket.create_connection(address), listening.accept()[0] as connection:
            client_end, server_end = End(*connection.getpeername()[:2]), End(*connection.getsockname()[:2])
            assert is_this_user(client_end, server_end)
            assert user_of(client_end, server_end) == os.geteuid()
