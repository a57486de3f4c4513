"""Selection of the proxy for an API server, with kubectl's rules."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from orchestune.errors import UsageError


def proxy_for(host: str, configured: str | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy's URL: `configured` (proxy-url of a kubeconfig), or as the environment selects.

    None if there is none.

    Raises UsageError if it is not the URL of an HTTP proxy.
    """
    if configured:
        return _checked(configured, "proxy-url in the kubeconfig")
    scheme = urlsplit(host).scheme
    variable = f"{scheme.upper()}_PROXY"
    address = _variable(environ, variable)
    if not address or _goes_direct(host, _variable(environ, "NO_PROXY")):
        return None
    return _checked(address if "://" in address else f"http://{address}", variable)


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.lower()) or "").strip()


def _checked(address: str, source: str) -> str:
    parts = urlsplit(address)
    try:
        is_valid = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        without_login = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise UsageError(
            f"{source} is {without_login}, and only HTTP proxies can be used here",
            "write it like http://proxy.lab:3128",
        )
    return address


def _goes_direct(host: str, exceptions: str) -> bool:
    """Return True if `kubectl` connects directly: to this machine, or a domain, address or network in NO_PROXY."""
    parts = urlsplit(host)
    name, port = (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(name)
    if name == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(item.strip().lower(), name, port, address) for item in exceptions.split(",") if item.strip())


def _matches(item: str, name: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if item == "*":
        return True
    if address is not None:
        try:
            if address in ipaddress.ip_network(item, strict=False):
                return True
        except ValueError:
            pass  # a name, or with a port
    pattern, colon, pattern_port = item.rpartition(":")
    if colon and pattern_port.isdecimal() and "]" not in pattern_port:
        if int(pattern_port) != port:
            return False
        item = pattern.strip("[]")
    domain = item.removeprefix("*").lstrip(".")
    return bool(domain) and (name.endswith(f".{domain}") or (name == domain and not item.startswith(".")))


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
