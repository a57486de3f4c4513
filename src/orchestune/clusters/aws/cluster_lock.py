"""Lock on a cluster while one process creates, changes or removes it: tags on the role of its control plane.

IAM role names are unique in an account, so of several processes that create a cluster only one can create the role, and
it writes its tags in the same request. For an existing role the lock is taken by writing the tags and reading them
back: the last writer holds it, and the others see its name. IAM has no compare-and-set: two processes that both saw no
holder both get the lock if the second one writes after the first one has read its tags back. That window is a few
requests long, and every step is idempotent by itself.

The holder renews a counter in a tag. A lock whose counter stays unchanged for `_HOLDER_TIMEOUT` belongs to a dead
process and is taken over; the waiting process measures that on its own clock, so no clocks are compared.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
from contextlib import suppress

from orchestune.clusters.aws.client import Aws, tag_value
from orchestune.clusters.aws.names import TAG, Names
from orchestune.clusters.aws.requests.roles import CONTROL
from orchestune.errors import Conflict, NotFound, OrchestuneError

HOLDER_TAG, HEARTBEAT_TAG = "orchestune.dev/maker", "orchestune.dev/beat"
_HEARTBEAT_INTERVAL = 5.0
"""seconds between heartbeats"""
_HOLDER_TIMEOUT = 60.0
"""seconds without a heartbeat after which the holder counts as dead"""
_POLL_SECONDS = 2.0


class ClusterLock:
    """One process's lock on a cluster, released at the end of the block. Blocking; every step may be retried."""

    def __init__(self, aws: Aws, names: Names) -> None:
        self._aws, self._names = aws, names
        self.holder = _holder_id()
        self._heartbeats, self._last_heartbeat = 0, aws.clock()
        self._is_held = False

    @property
    def role(self) -> str:
        """Name of the role that carries the tags."""
        return self._names.role(CONTROL)

    @property
    def tags(self) -> list[dict[str, str]]:
        """Tags of the holder, also set when creating the role."""
        return [{"Key": HOLDER_TAG, "Value": self.holder}, {"Key": HEARTBEAT_TAG, "Value": str(self._heartbeats)}]

    def record_creation(self) -> None:
        """Record that this process created the role, including its tags: the lock is held."""
        self._is_held = True

    def acquire(self) -> bool:
        """Acquire the lock; return False if the role does not exist.

        Raises Conflict if another process holds it, or if the role is not Orchestune's.
        """
        tags = role_tags(self._aws, self.role)
        if tags is None:
            return False
        if tag_value(tags, TAG) != self._names.cluster:
            raise Conflict(f"the role {self.role} exists already and is not ours", "choose another cluster_name")
        self._wait_for_holder(tags)
        self._is_held = True
        self._write_tags()
        # another process may have written its tags at the same time: the last writer holds the lock
        holder = tag_value(role_tags(self._aws, self.role) or [], HOLDER_TAG)
        if holder not in ("", self.holder):
            self._is_held = False
            raise self._busy(holder)
        return True

    def heartbeat(self) -> None:
        """Renew the tags at most once per `_HEARTBEAT_INTERVAL`; may be called at any rate."""
        if self._is_held and self._aws.clock() - self._last_heartbeat >= _HEARTBEAT_INTERVAL:
            self._heartbeats, self._last_heartbeat = self._heartbeats + 1, self._aws.clock()
            with suppress(NotFound):  # removing the cluster deletes the role last
                self._aws.call("iam", "TagRole", {"RoleName": self.role, "Tags": self.tags}, about=f"role {self.role}")

    def __enter__(self) -> ClusterLock:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the tags. Errors are ignored: leftover tags expire like those of a dead process."""
        if self._is_held:
            self._is_held = False
            with suppress(OrchestuneError):
                self._aws.call("iam", "UntagRole", {"RoleName": self.role, "TagKeys": [HOLDER_TAG, HEARTBEAT_TAG]})

    def _wait_for_holder(self, tags: list[dict[str, str]]) -> None:
        """Return once no other process holds the lock; raise Conflict at another process's first heartbeat."""
        holder, heartbeat = tag_value(tags, HOLDER_TAG), tag_value(tags, HEARTBEAT_TAG)
        deadline = self._aws.clock() + _HOLDER_TIMEOUT
        while holder and holder != self.holder and not _has_exited(holder):
            if self._aws.clock() > deadline:
                return
            self._aws.sleep(_POLL_SECONDS)
            current = role_tags(self._aws, self.role) or []
            if tag_value(current, HOLDER_TAG) == holder and tag_value(current, HEARTBEAT_TAG) != heartbeat:
                raise self._busy(holder)
            holder = tag_value(current, HOLDER_TAG)

    def _busy(self, holder: str) -> Conflict:
        process = holder.rpartition(" ")[0]
        return Conflict(
            f"the cluster '{self._names.cluster}' is being created or changed by {process}",
            "wait until that command has finished, then repeat yours",
        )

    def _write_tags(self) -> None:
        request = {"RoleName": self.role, "Tags": self.tags}
        self._aws.call_eventually("iam", "TagRole", request, about=f"role {self.role}")


def role_tags(aws: Aws, name: str) -> list[dict[str, str]] | None:
    """Return the tags of a role, regardless of who created it; None if absent."""
    response = aws.find("iam", "GetRole", {"RoleName": name}, about=f"role {name}")
    return None if response is None else list(response["Role"].get("Tags") or [])


def _holder_id() -> str:
    """Return the holder's ID, `ada@laptop 1234 7f3a2b`: the random last word tells two runs of one process apart."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    text = f"{user}@{socket.gethostname()} {os.getpid()} {secrets.token_hex(3)}"
    return re.sub(r"[^\w .:/=+@\-]", "-", text)[:256]


def _has_exited(holder: str) -> bool:
    """Return True if the holder was a process on this host that has exited."""
    user, pid = [*holder.split(" "), "", ""][:2]
    if user.rpartition("@")[2] != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # alive, but another user's
        pass
    return False
