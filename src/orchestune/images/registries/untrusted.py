"""Remedies if a machine that pulls an image does not trust the registry: its error message does not explain that."""

from __future__ import annotations

from orchestune.errors import UsageError

_REMEDIES = {
    "certificate signed by unknown authority": "the nodes do not know the authority of the registry's certificate:"
    " an administrator gives it to their container runtime (`ca` in /etc/containerd/certs.d/HOST/hosts.toml)",
    "server gave HTTP response to HTTPS client": "the registry has no TLS, and the nodes expect it:"
    ' an administrator tells their container runtime (`[host."http://HOST"]` in'
    " /etc/containerd/certs.d/HOST/hosts.toml)",
}


class Untrusted(UsageError):
    """This machine does not trust the registry; others may."""


def remedy(message: str) -> str:
    """Return the remedy for the error message of a failed pull, with the prefix `; `; empty if there is none."""
    return next((f"; {text}" for pattern, text in _REMEDIES.items() if pattern in message), "")
