"""Selection of this machine's address for the Slurm nodes."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from orchestune.backends.slurm.client import Slurm


def own_address(slurm: Slurm) -> str:
    """Return the address from which this machine reaches the nodes of Slurm.

    It is that towards the controller, or towards a node if the controller runs on this machine; the loopback address if
    all of them do.
    """
    address = "127.0.0.1"
    for host in _hosts(slurm):
        address = _source_address_towards(host) or address
        if not ip_address(address).is_loopback:
            return address
    return address


def address_for_nodes(
    url: str, setting: str, find_host: Callable[[], str], listen: Callable[[str, int], int] | None, port: int
) -> str:
    """Return the server's URL for the nodes.

    If `url` is a loopback address, the server also listens on `setting`, or on the host that `find_host` returns, at
    `port` if it is free.
    """
    parts = urlsplit(url)
    if not _is_loopback(parts.hostname or ""):
        return url
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", setting)  # otherwise an IPv6 address without a port
    host, number = (match[1].strip("[]"), match[2]) if match else (setting, None)
    host = host or find_host()
    if listen is None or (host == parts.hostname and not number):
        return url
    netloc_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{netloc_host}:{listen(host, int(number or port))}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(slurm: Slurm) -> Iterator[str]:
    yield from re.findall(r"^SlurmctldHost\[\d+\]\s*=\s*[^\s(]*\(?([^\s)]+)", slurm.show("config"), re.MULTILINE)
    yield from re.findall(r"\bNodeAddr=(\S+)", slurm.show("nodes"))[:1]


def _source_address_towards(host: str) -> str | None:
    """Return this machine's source address towards the host, or None if unreachable. Sends nothing."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None
