"""The file in which a running embedded server says where it is, and the names of what stands beside it."""

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
"""held by the server for as long as it lives"""
START_LOCK = "start.lock"
"""held by the command that starts a server"""
LOG = "server.log"


class Address(NamedTuple):
    """How commands of this machine reach its embedded server."""

    url: str
    """for browsers"""
    token: str
    socket: str = ""
    """path of its Unix socket; empty for a server that has none, which is reached at `url`"""


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, who may speak to it, and which process it is."""

    url: str
    token: str
    process: Process
    version: str
    socket: str = ""
    """path of the Unix socket at which it answers its own user"""

    @property
    def address(self) -> Address:
        """What a command needs of it."""
        return Address(self.url, self.token, self.socket)

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, pid={self.process.pid}, version={self.version!r})"

    def write(self, path: Path) -> None:
        """Replace the file at once, for its owner alone; a reader never sees half of it."""
        document = {"url": self.url, "socket": self.socket, "token": self.token, "version": self.version}
        write_private(path, json.dumps({**document, **self.process.to_json()}))

    @classmethod
    def read(cls, path: Path) -> Endpoint | None:
        """What the file says; None where it is missing, is none of ours, or is no endpoint."""
        try:
            with path.open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_uid not in (os.geteuid(), 0):
                    return None  # somebody else would get to see everything that is sent there
                document = json.load(file)
            process = Process.from_json(document)
            url, token, version = (str(document[name]) for name in ("url", "token", "version"))
            local = str(document.get("socket") or "")
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return cls(url, token, process, version, local) if process else None


def runs(state: Path) -> bool:
    """Whether the server of this state folder is there. Nothing is asked or started."""
    found = Endpoint.read(state / FILE)
    return found is not None and found.process.alive()
