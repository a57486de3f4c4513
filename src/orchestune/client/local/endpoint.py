"""The file with the address of a running embedded server, and the names of related files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from orchestune.system.private import write_private
from orchestune.system.process import Process

FILE = "endpoint.json"
LOCK = "server.lock"
"""held by the server for its lifetime"""
START_LOCK = "start.lock"
"""held by the command that starts a server"""
LOG = "server.log"


class SocketAddress(NamedTuple):
    """Address of the embedded server for commands on this machine."""

    url: str
    """for browsers"""
    token: str
    socket: str = ""
    """path of its Unix socket; empty for a server without one, which is reached at `url`"""


@dataclass(frozen=True)
class EmbeddedEndpoint:
    """Address, token and process of a server."""

    url: str
    token: str
    process: Process
    version: str
    socket: str = ""
    """path of the Unix socket for its own user"""

    @property
    def address(self) -> SocketAddress:
        """Address and token for a command."""
        return SocketAddress(self.url, self.token, self.socket)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, pid={self.process.pid}, version={self.version!r})"

    def write(self, path: Path) -> None:
        """Replace the file atomically, readable for its owner only."""
        document = {"url": self.url, "socket": self.socket, "token": self.token, "version": self.version}
        write_private(path, json.dumps({**document, **self.process.to_json()}))

    @classmethod
    def read(cls, path: Path) -> EmbeddedEndpoint | None:
        """Read the file; None if it is missing, belongs to another user, or is invalid."""
        try:
            with path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
                    return None  # its owner could read everything that is sent to that address
                document = json.load(file)
            process = Process.from_json(document)
            url, token, version = (str(document[name]) for name in ("url", "token", "version"))
            local = str(document.get("socket") or "")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(url, token, process, version, local) if process else None


def runs(state: Path) -> bool:
    """Return True if the server of this state folder is running. Sends no request."""
    server = EmbeddedEndpoint.read(state / FILE)
    return server is not None and server.process.alive()
