"""A server that listens at an address of IPv4 leaves the same port of IPv6 to nobody: names lead to both."""

from __future__ import annotations

import errno
import socket

import pytest

from orchestune.server.addresses import Addresses, joined
from orchestune.server.serving import listen, reserve_ipv6
from orchestune.server.settings import Settings
from tests.security.test_port_hijack import as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


with_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


def hijack(address: str, port: int) -> int:
    """Listen there as an attacker would; return the error's number, 0 if it works."""
    with socket.socket(socket.AF_INET6) as hijacker:
        hijacker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hijacker.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            hijacker.bind((address, port))
            hijacker.listen()
        except OSError as exc:
            return exc.errno or -1
    return 0


@with_ipv6
@pytest.mark.parametrize(("host", "taken"), [("127.0.0.1", ("::1",)), ("0.0.0.0", ("::1", "::"))])
def test_no_other_program_gets_the_port_of_the_other_family(host: str, taken: tuple[str, ...]) -> None:
    with listen(Settings(host=host, port=0)) as listening:
        port = listening.getsockname()[1]
        [reserved] = reserve_ipv6(listening)
        with reserved:
            assert [hijack(address, port) for address in taken] == [errno.EADDRINUSE] * len(taken)
            with pytest.raises(ConnectionRefusedError):  # who tries IPv6 first goes on with IPv4
                socket.create_connection(("::1", port), 5)
            with socket.create_connection(("127.0.0.1", port), 5):
                pass
        assert hijack("::1", port) == 0


@with_ipv6
def test_a_port_that_another_program_has_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with listen(Settings(host="127.0.0.1", port=0)) as listening, socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", listening.getsockname()[1]))
        assert reserve_ipv6(listening) == []
    assert "another program has port" in caplog.text


def test_a_server_without_ipv6_proves_itself_for_none_of_its_addresses() -> None:
    addresses = Addresses()
    addresses.add("0.0.0.0", 8470)
    assert joined("::1", 8470) not in addresses


@with_ipv6
@as_another_user
def test_another_user_gets_neither_port_of_a_running_server() -> None:
    with Home() as home:
        home.run("status")
        url = published(home).url
        port = int(url.rpartition(":")[2])
        assert as_nobody(lambda: str(hijack("::1", port)).encode()) == str(errno.EADDRINUSE).encode()
        assert ask(url, "/healthz") == b"200"
