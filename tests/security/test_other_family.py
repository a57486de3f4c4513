"""A server holds its port at every address to which a name of it leads, in both families, or does not listen."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestune.errors import UsageError
from orchestune.server.addresses import Addresses, joined
from orchestune.server.serving import listen
from orchestune.server.settings import Settings
from orchestune.system import listening
from orchestune.system.listening import PortTaken
from tests.security.test_port_hijack import NOBODY, as_another_user, as_nobody, ask, published
from tests.testbeds.home import Home
from tests.testbeds.ports import free_port
from tests.unit.server.harness import live


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
@pytest.mark.parametrize(("host", "refused_addresses"), [("127.0.0.1", ("::1",)), ("0.0.0.0", ("::1", "::"))])
def test_no_other_program_gets_the_port_of_the_other_family(host: str, refused_addresses: tuple[str, ...]) -> None:
    with listen(Settings(host=host, port=0)) as bound:
        port = bound.number
        assert [hijack(address, port) for address in refused_addresses] == [errno.EADDRINUSE] * len(refused_addresses)
        with pytest.raises(ConnectionRefusedError):  # a client that tries IPv6 first continues with IPv4
            socket.create_connection(("::1", port), 5)
        with socket.create_connection(("127.0.0.1", port), 5):
            pass
    assert hijack("::1", port) == 0


@with_ipv6
def test_a_server_of_ipv6_alone_leaves_the_port_of_ipv4_to_no_other_program() -> None:
    with listen(Settings(host="::1", port=0)) as bound, socket.socket() as other:
        with pytest.raises(OSError) as refused:
            other.bind(("127.0.0.1", bound.number))
    assert refused.value.errno == errno.EADDRINUSE


@contextmanager
def squatted(port: int = 0, *, listens: bool = True) -> Iterator[int]:
    """A port of `::1` that an attacker has; with this option a socket that does not listen lets others bind as well."""
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("::1", port))
        if listens:
            squatter.listen()
        yield squatter.getsockname()[1]


@with_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
@pytest.mark.parametrize("listens", [True, False])
def test_no_server_listens_at_a_port_that_another_program_has_in_the_other_family(host: str, listens: bool) -> None:
    with squatted(listens=listens) as port, pytest.raises(UsageError, match=f"another program uses .*:{port}"):
        listen(Settings(host=host, port=port))


@with_ipv6
def test_an_embedded_server_takes_another_port_than_one_that_is_squatted_in_the_other_family(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "port").write_text(str(port))
    with squatted(port), listen(Settings(state=tmp_path, embedded=True)) as bound:
        assert bound.number != port
        assert hijack("::1", bound.number) == errno.EADDRINUSE


@with_ipv6
def test_a_server_that_gets_no_port_of_both_families_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker has all ports of `::1`, or takes each one before the server does."""
    real = listening._bound_socket

    def bound(family: int, *args: Any, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise PortTaken("::1", args[1])
        return real(family, *args, **options)

    monkeypatch.setattr(listening, "_bound_socket", bound)
    with pytest.raises(UsageError, match=r"another program uses \[::1\]"):
        listen(Settings(state=tmp_path, embedded=True))


@pytest.fixture
def login1(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The addresses of the name login1: two of this machine and one of another."""
    real, addresses = socket.getaddrinfo, ("192.0.2.1", "127.0.0.2", "127.0.0.3")

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        if host != "login1":
            return real(host, *args, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return addresses[1:]


def test_a_server_listens_at_each_address_of_its_name(login1: tuple[str, ...]) -> None:
    with listen(Settings(host="login1", port=0)) as bound:
        for address in login1:
            with socket.create_connection((address, bound.number), 5):
                pass


@pytest.mark.parametrize("settings", [{"host": "login1"}, {"host": "127.0.0.1", "public_url": "http://login1:{port}"}])
def test_no_server_listens_for_a_name_of_which_another_program_has_an_address(
    login1: tuple[str, ...], settings: dict[str, str]
) -> None:
    """It would pass proof requests of workers, which may dial any address of the name, on to the server."""
    with socket.create_server((login1[1], 0)) as relay:
        port = relay.getsockname()[1]
        settings = {name: value.format(port=port) for name, value in settings.items()}
        with pytest.raises(UsageError, match=rf"another program uses 127\.0\.0\.3:{port}"):
            listen(Settings(port=port, **settings))  # type: ignore[arg-type]


def test_an_additional_listener_holds_each_address_of_its_name(login1: tuple[str, ...]) -> None:
    with live() as server:
        opened = asyncio.run_coroutine_threadsafe(
            server.server.listen_also("login1", 0), server.server.servers[0].get_loop()
        )
        port = opened.result(30)
        for address in login1:
            with socket.create_connection((address, port), 5):
                pass
        with socket.create_server((login1[1], 0)) as relay:
            occupied_port = relay.getsockname()[1]
            opened = asyncio.run_coroutine_threadsafe(
                server.server.listen_also("login1", occupied_port), server.server.servers[0].get_loop()
            )
            with pytest.raises(PortTaken):
                opened.result(30)


def test_a_server_without_ipv6_proves_itself_for_none_of_its_addresses() -> None:
    addresses = Addresses()
    addresses.add("0.0.0.0", 8470)
    assert joined("::1", 8470) not in addresses


@with_ipv6
@as_another_user
def test_the_pages_do_not_lead_to_a_port_that_another_user_has_taken_in_the_other_family() -> None:
    with Home() as home:
        port = free_port()
        (home.folder / "port").write_text(str(port))
        ready, waiting = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setresuid(NOBODY, NOBODY, NOBODY)
                with squatted(port):
                    os.write(waiting, b"x")
                    threading.Event().wait(120)
            finally:
                os._exit(0)
        try:
            assert os.read(ready, 1) == b"x"
            link = home.run("ui", "--print", timeout=60).stdout.strip()
            assert urlsplit(link).port not in (port, None)
            assert hijack("::1", urlsplit(link).port or 0) == errno.EADDRINUSE
        finally:
            os.close(ready)
            os.close(waiting)
            os.kill(child, 9)
            os.waitpid(child, 0)


@with_ipv6
@as_another_user
def test_another_user_gets_neither_port_of_a_running_server() -> None:
    with Home() as home:
        home.run("status")
        url = published(home).url
        port = int(url.rpartition(":")[2])
        assert as_nobody(lambda: str(hijack("::1", port)).encode()) == str(errno.EADDRINUSE).encode()
        assert ask(url, "/healthz") == b"200"
