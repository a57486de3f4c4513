"""Which daemon: the one that docker's own command would speak to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Daemon:
    """Where a daemon listens; `tls` as the SDK wants it."""

    address: str = SOCKET
    tls: Any = False

    @property
    def here(self) -> bool:
        """Whether it is taken to run on this machine: it listens on a socket of it."""
        return self.address.startswith(("unix:", "http+unix:"))


def find() -> Daemon:
    """What `DOCKER_HOST` names (with `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`), else docker's context, else the socket.

    docker.errors.DockerException where a certificate or a context is wrong.
    """
    from docker.context import ContextAPI  # takes a while, and most servers never start a container
    from docker.context.config import get_current_context_name
    from docker.errors import ContextNotFound
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        told = kwargs_from_env()
        return Daemon(told["base_url"], told.get("tls", False))
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name() or "default"
    context: Any = ContextAPI.get_context(name)
    if context is None:  # docker's own command takes no other one in its place
        raise ContextNotFound(name)
    if not context.Host:
        return Daemon()
    return Daemon(context.Host.replace("http+unix://", "unix://"), context.TLSConfig or False)
