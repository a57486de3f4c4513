"""At which of its addresses the nodes of Slurm reach this machine."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from orchestune.backends.slurm.client import Slurm


def own_address(slurm: Slurm) -> str:
    """The one from which this machine reaches Slurm's controller, or a node where the controller is this machine; the
    loopback address where all of them are.
    """
    found = "127.0.0.1"
    for host in _hosts(slurm):
        found = _toward(host) or found
        if not ip_address(found).is_loopback:
            return found
    return found


def address_for_nodes(
    url: str, said: str, found: Callable[[], str], listen: Callable[[str, int], int] | None, port: int
) -> str:
    """The server's address as the nodes see it. `url` is the one that is known here; where that is a loopback address,
    the server listens on the one that a setting `said`, or that is `found`, too: at that port, if it can.
    """
    parts = urlsplit(url)
    if not _is_loopback(parts.hostname or ""):
        return url
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", said)  # else an address of IPv6 without a port
    host, number = (match[1].strip("[]"), match[2]) if match else (said, None)
    host = host or found()
    if listen is None or (host == parts.hostname and not number):
        return url
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{listen(host, int(number or port))}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _hosts(slurm: Slurm) -> Iterator[str]:
    yield from re.findall(r"^SlurmctldHost\[\d+\]\s*=\s*[^\s(]*\(?([^\s)]+)", slurm.show("config"), re.MULTILINE)
    yield from re.findall(r"\bNodeAddr=(\S+)", slurm.show("nodes"))[:1]


def _toward(host: str) -> str | None:
    """This machine's own address on the way there; nothing is sent. None where there is no way."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError:
        return None
