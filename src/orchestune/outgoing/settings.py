"""Operator settings for outgoing requests."""

from __future__ import annotations

from dataclasses import dataclass

from orchestune.domain.specification.notify import Hook
from orchestune.domain.specification.tracker import Tracker
from orchestune.outgoing.destinations import AllowedDestinations


@dataclass(frozen=True)
class Outgoing:
    """Settings of one server; the default suits a shared server without messages of its own."""

    reach: AllowedDestinations = AllowedDestinations()
    hook: Hook | None = None
    """webhook for all experiments; its `url` and `secret` are literal values"""
    tracker: Tracker | None = None
    """tracker for all experiments that configure none"""
