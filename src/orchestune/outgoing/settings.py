"""What whoever runs a server has set of what it sends."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune.domain.notify import Hook
from orchestune.domain.tracker import Tracker
from orchestune.outgoing.reach import Reach


@dataclass(frozen=True)
class Outgoing:
    """Of one server; the default is one that several people use, without messages of its own."""

    reach: Reach = Reach()
    hook: Hook | None = None
    """hears of every experiment; its `url` and `secret` are the values themselves"""
    tracker: Tracker | None = None
    """records every experiment that names none of its own"""
