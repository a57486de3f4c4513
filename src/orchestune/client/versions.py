"""Which of two versions is older, and what to do where server and program are not of the same."""

from __future__ import annotations

import re

from orchestune import __version__
from orchestune.client.clusters import Cluster

HEADER = "Orchestune-Version"
"""in which a server says what it is"""


def release(version: str) -> tuple[int, ...]:
    """What decides which of two versions is older: the numbers in front; `0.2.0rc1` counts as `0.2.0`."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else [0]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def difference(theirs: str, ours: str = __version__) -> str:
    """`older` or `newer`, as the server is; empty where both are of one release."""
    there, here = release(theirs), release(ours)
    return "" if there == here else "older" if there < here else "newer"


def remedy(theirs: str, cluster: Cluster | None, ours: str = __version__) -> str:
    """What to do about it; empty where nothing is to be done."""
    which = difference(theirs, ours)
    if which == "newer":
        return "upgrade this program: pip install --upgrade orchestune"
    if which == "older" and cluster is not None and cluster.provider == "kubernetes":
        return f"`orchestune cluster upgrade -n {cluster.name}` brings it to {ours}, its data kept"
    return "its operator can upgrade it" if which else ""
