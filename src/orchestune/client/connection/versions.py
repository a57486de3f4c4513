"""Comparison of versions, and remedies if server and program differ."""

from __future__ import annotations

import re

from orchestune import __version__
from orchestune.client.clusters import ConnectedCluster

HEADER = "Orchestune-Version"
"""response header with the server's version"""


def release(version: str) -> tuple[int, ...]:
    """Return a sort key for a version: its leading numbers; `0.2.0rc1` counts as `0.2.0`."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else [0]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def difference(theirs: str, ours: str = __version__) -> str:
    """Return `older` or `newer` for the server; empty if both are of the same release."""
    server_release, own_release = release(theirs), release(ours)
    return "" if server_release == own_release else "older" if server_release < own_release else "newer"


def remedy(theirs: str, cluster: ConnectedCluster | None, ours: str = __version__) -> str:
    """Return the remedy for a difference; empty if there is none."""
    which = difference(theirs, ours)
    if which == "newer":
        return "upgrade this program: pip install --upgrade orchestune"
    if which == "older" and cluster is not None and cluster.provider == "kubernetes":
        return f"`orchestune cluster upgrade -n {cluster.name}` upgrades it to {ours} and keeps its data"
    return "ask its operator to upgrade it" if which else ""
