"""Assigns orphaned processes that the worker adopted to the attempts that started them."""

from __future__ import annotations

import signal
from collections.abc import Collection

from orchestune.worker.processes import tree


class Orphans:
    """Adopted processes, identified by the attempt's id in their environment.

    A process with a cleared environment may belong to any attempt that was live when it was first seen; it is assigned
    to the last of these to end.
    """

    def __init__(self) -> None:
        self.are_children_listed = True
        """False if the system does not list the children of this process"""
        self._owners: dict[int, set[str]] = {}
        self._unkillable: set[int] = set()
        """processes that this user is not permitted to kill"""

    def children(self) -> set[int] | None:
        """Return the current children of this process, including orphans; None if the system does not list them."""
        children = tree.adopted()
        self.are_children_listed = children is not None
        return children

    def of(self, attempt: str, leaders: Collection[int], live: set[str], children: set[int] | None) -> set[int]:
        """Return those of `children` that are orphans of the given attempt or of attempts that have ended."""
        orphans = set()
        non_leaders = children.difference(leaders) if children else set()
        self._unkillable &= non_leaders
        if len(non_leaders) < len(self._owners):
            self._owners = {pid: owners for pid, owners in self._owners.items() if pid in non_leaders}
        for pid in non_leaders - self._unkillable:
            owners = self._owners.get(pid)
            if owners is None:
                attempt_id = tree.attempt_of(pid)
                owners = self._owners[pid] = {attempt_id} if attempt_id else set(live)
            if not (owners & live) - {attempt}:
                orphans.add(pid)
        return orphans

    def forget(self, attempt: str) -> None:
        """Remove a finished attempt from the possible owners."""
        for owners in self._owners.values():
            owners.discard(attempt)

    def kill(self, pid: int) -> bool:
        """Kill a process. If that is not permitted, return False and exclude it from its attempt's orphans."""
        if tree.kill(pid, signal.SIGKILL):
            return True
        self._unkillable.add(pid)
        return False
