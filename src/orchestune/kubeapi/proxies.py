"""Selection of the proxy for an API server, with kubectl's rules."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestune.errors import UsageError


def proxy_for(host: str, given: str | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy's URL: `given` (proxy-url of a kubeconfig), or as the environment selects. None if there is
    none.

    Raises UsageError if it is not the URL of an HTTP proxy.
    """
    if given:
        return _checked(given, "proxy-url in the kubeconfig")
    scheme = urlsplit(host).scheme
    variable = f"{scheme.upper()}_PROXY"
    found = _variable(environ, variable)
    if not found or _goes_direct(host, _variable(environ, "NO_PROXY")):
        return None
    return _checked(found if "://" in found else f"http://{found}", variable)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.lower()) or "").strip()


def _checked(address: str, where: str) -> str:
    parts = urlsplit(address)
    try:
        good = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise UsageError(
            f"{where} is {shown}, and only HTTP proxies can be used here", "write it like http://proxy.lab:3128"
        )
    return address


def _goes_direct(host: str, exceptions: str) -> bool:
    """Return True if `kubectl` connects directly: to this machine, or a domain, address or network in NO_PROXY."""
    parts = urlsplit(host)
    name, port = (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(name)
    if name == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_means(item.strip().lower(), name, port, address) for item in exceptions.split(",") if item.strip())


def _means(item: str, name: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if item == "*":
        return True
    if address is not None:
        try:
            if address in ipaddress.ip_network(item, strict=False):
                return True
        except ValueError:
            pass  # a name, or with a port
    wanted, colon, given = item.rpartition(":")
    if colon and given.isdecimal() and "]" not in given:
        if int(given) != port:
            return False
        item = wanted.strip("[]")
    domain = item.removeprefix("*").lstrip(".")
    return bool(domain) and (name.endswith(f".{domain}") or (name == domain and not item.startswith(".")))


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
