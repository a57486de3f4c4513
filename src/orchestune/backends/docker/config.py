"""Selection of the Docker daemon, by the same rules as the `docker` command."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

SOCKET = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Daemon:
    """The address of a daemon; `tls` as the SDK expects it."""

    address: str = SOCKET
    tls: Any = False

    @property
    def here(self) -> bool:
        """True if the daemon is assumed to run on this machine: it listens on a local socket."""
        return self.address.startswith(("unix:", "http+unix:"))


def find() -> Daemon:
    """Return the address of the Docker daemon.

    It is named by `DOCKER_HOST` (with `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`), else by docker's context; else it is
    the default socket.

    Raises docker.errors.DockerException if a certificate or a context is invalid.
    """
    from docker.context import ContextAPI  # slow import, and most servers never start a container
    from docker.context.config import get_current_context_name
    from docker.errors import ContextNotFound
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        settings = kwargs_from_env()
        return Daemon(settings["base_url"], settings.get("tls", False))
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name() or "default"
    context: Any = ContextAPI.get_context(name)
    if context is None:  # the `docker` command does not fall back to another one either
        raise ContextNotFound(name)
    if not context.Host:
        return Daemon()
    return Daemon(context.Host.replace("http+unix://", "unix://"), context.TLSConfig or False)
