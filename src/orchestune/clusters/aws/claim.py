"""Lock on a cluster while one process creates, changes or removes it: tags on the role of its control plane.

IAM role names are unique, so only one of two processes can create it. Tags without heartbeats mark a dead holder.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
from contextlib import suppress

from orchestune.clusters.aws.client import Aws, named
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.requests.roles import CONTROL
from orchestune.errors import Conflict, NotFound, OrchestuneError

MAKER, BEAT = "orchestune.dev/maker", "orchestune.dev/beat"
_EVERY = 5.0
"""heartbeat interval in seconds"""
_DEAD = 60.0
"""seconds without a heartbeat after which the holder counts as dead"""
_LOOK = 2.0


class Claim:
    """One process's lock on a cluster, released at the end of the block. Blocking; every step may be retried."""

    def __init__(self, aws: Aws, names: Names) -> None:
        self._aws, self._names = aws, names
        self.me = _me()
        self._beats, self._beaten = 0, aws.clock()
        self._held = False

    @property
    def role(self) -> str:
        """Name of the role that carries the tags."""
        return self._names.role(CONTROL)

    @property
    def marks(self) -> list[dict[str, str]]:
        """Tags of the holder, also set when creating the role."""
        return [{"Key": MAKER, "Value": self.me}, {"Key": BEAT, "Value": str(self._beats)}]

    def made(self) -> None:
        """Record that this process created the role, including its tags."""
        self._held = True

    def take(self) -> bool:
        """Acquire the lock; return False if the role does not exist.

        Raises Conflict if another process holds it, or if the role is not Orchestune's.
        """
        tags = role_tags(self._aws, self.role)
        if tags is None:
            return False
        if named(tags, TAG) != self._names.cluster:
            raise Conflict(f"there is a role {self.role} already, which is not ours", "choose another name")
        self._outlive(tags)
        self._held = True
        self._mark()
        found = named(role_tags(self._aws, self.role) or [], MAKER)
        if found not in ("", self.me):
            self._held = False
            raise self._busy(found)
        return True

    def beat(self) -> None:
        """Renew the tags at most once per `_EVERY` seconds; may be called at any rate."""
        if self._held and self._aws.clock() - self._beaten >= _EVERY:
            self._beats, self._beaten = self._beats + 1, self._aws.clock()
            with suppress(NotFound):  # removing the cluster deletes the role last
                self._aws.call("iam", "TagRole", {"RoleName": self.role, "Tags": self.marks}, about=f"role {self.role}")

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the tags. Errors are ignored: leftover tags expire like those of a dead process."""
        if self._held:
            self._held = False
            with suppress(OrchestuneError):
                self._aws.call("iam", "UntagRole", {"RoleName": self.role, "TagKeys": [MAKER, BEAT]})

    def _outlive(self, tags: list[dict[str, str]]) -> None:
        """Return once no other process holds the lock; raise Conflict at another process's first heartbeat."""
        maker, beat = named(tags, MAKER), named(tags, BEAT)
        until = self._aws.clock() + _DEAD
        while maker and maker != self.me and not _dead_here(maker):
            if self._aws.clock() > until:
                return
            self._aws.sleep(_LOOK)
            now = role_tags(self._aws, self.role) or []
            if named(now, MAKER) == maker and named(now, BEAT) != beat:
                raise self._busy(maker)
            maker = named(now, MAKER)

    def _busy(self, maker: str) -> Conflict:
        who = maker.rpartition(" ")[0]
        return Conflict(
            f"the cluster '{self._names.cluster}' is being made or changed right now, by {who}",
            "wait until that is done, then repeat the command",
        )

    def _mark(self) -> None:
        self._aws.settled("iam", "TagRole", {"RoleName": self.role, "Tags": self.marks}, about=f"role {self.role}")


def role_tags(aws: Aws, name: str) -> list[dict[str, str]] | None:
    """Return the tags of a role, regardless of who created it; None if absent."""
    found = aws.find("iam", "GetRole", {"RoleName": name}, about=f"role {name}")
    return None if found is None else list(found["Role"].get("Tags") or [])


def _me() -> str:
    """Return the holder's ID, `ada@laptop 1234 7f3a2b`: the random last word tells two runs of one process apart."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    text = f"{user}@{socket.gethostname()} {os.getpid()} {secrets.token_hex(3)}"
    return re.sub(r"[^\w .:/=+@\-]", "-", text)[:256]


def _dead_here(maker: str) -> bool:
    """Return True if the holder was a process on this host that has exited."""
    who, pid = [*maker.split(" "), "", ""][:2]
    if who.rpartition("@")[2] != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, but another user's
        pass
    return False
