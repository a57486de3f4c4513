"""Processes that lost their parent and became the worker's: to which attempt each belongs."""

from __future__ import annotations

import signal
from collections.abc import Collection

from orchestune.worker import tree


class Orphans:
    """Tells them by the attempt's mark in their environment.

    One whose environment was emptied may be of any attempt that was live when it was first seen, and belongs to the
    last of these.
    """

    def __init__(self) -> None:
        self.visible = True
        """False where the system does not tell this process its children"""
        self._owners: dict[int, set[str]] = {}
        self._beyond: set[int] = set()
        """those that cannot be ended"""

    def look(self) -> set[int] | None:
        """The children of this process now, among which orphans are; None where the system does not tell."""
        children = tree.adopted()
        self.visible = children is not None
        return children

    def of(self, attempt: str, leaders: Collection[int], live: set[str], children: set[int] | None) -> set[int]:
        """Those of `children` that are orphans of one attempt, or of attempts that are over."""
        found = set()
        strangers = children.difference(leaders) if children else set()
        self._beyond &= strangers
        if len(strangers) < len(self._owners):
            self._owners = {pid: owners for pid, owners in self._owners.items() if pid in strangers}
        for pid in strangers - self._beyond:
            owners = self._owners.get(pid)
            if owners is None:
                mark = tree.attempt_of(pid)
                owners = self._owners[pid] = {mark} if mark else set(live)
            if not (owners & live) - {attempt}:
                found.add(pid)
        return found

    def forget(self, attempt: str) -> None:
        """The attempt is over."""
        for owners in self._owners.values():
            owners.discard(attempt)

    def kill(self, pid: int) -> bool:
        """SIGKILL to one; False where that is not allowed, and it is no longer among those of its attempt."""
        if tree.kill(pid, signal.SIGKILL):
            return True
        self._beyond.add(pid)
        return False
