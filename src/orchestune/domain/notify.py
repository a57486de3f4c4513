"""Who is told what of an experiment, and how an address is shown that is a secret itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.domain.metrics import Metric
from orchestune.domain.states import ExperimentState

MOMENTS = ("finished", "failed", "paused")
"""what a hook hears of unless it says otherwise"""
BETTER, STUCK = "better", "stuck"
FORMATS = ("json", "slack")

_OF_STATE = {
    ExperimentState.COMPLETED: "finished",
    ExperimentState.STOPPED: "finished",
    ExperimentState.FAILED: "failed",
    ExperimentState.PAUSED: "paused",
}
_ADDRESS = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SLACK = re.compile(r"https://hooks\.slack(?:-gov)?\.com/|https?://[^?#]*/slack/?$", re.IGNORECASE)


@dataclass(frozen=True)
class Hook:
    """An address that hears of an experiment."""

    url: str
    """the address, or `env:NAME` or `file:PATH` on the caller's machine; records have no more than its host"""
    secret: str = ""
    """`env:NAME` or `file:PATH` of what the messages are signed with; empty: they are not"""
    on: tuple[str, ...] = MOMENTS
    better: float | None = None
    """also when the first metric becomes better than this"""
    stuck: float | None = None
    """also after so many seconds in which nothing moved"""
    format: str = ""
    """one of `FORMATS`; empty: what the address tells"""

    def hears(self, moment: str) -> bool:
        """Whether it wants to know of this."""
        return moment in self.on

    def crossed(self, objective: Metric, before: float | None, value: float | None) -> bool:
        """Whether the best value went beyond its limit just now."""
        limit = self.better
        if limit is None or value is None or not objective.better(value, limit):
            return False
        return before is None or not objective.better(before, limit)

    def to_json(self) -> dict[str, Any]:
        """As records have it."""
        return {
            "url": shown(self.url),
            "secret": self.secret,
            "on": list(self.on),
            "better": self.better,
            "stuck": self.stuck,
            "format": self.format,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Hook:
        """The inverse, as far as records go."""
        return cls(
            str(document["url"]),
            str(document.get("secret") or ""),
            tuple(document.get("on", MOMENTS)),
            document.get("better"),
            document.get("stuck"),
            str(document.get("format") or ""),
        )


def moment(before: ExperimentState, state: ExperimentState) -> str:
    """What a change of state is called; empty where nobody is told of it."""
    return _OF_STATE.get(state, "") if state is not before else ""


def is_address(text: str) -> bool:
    """Whether this is an address, and not where one is found."""
    return _ADDRESS.match(text) is not None


def shown(url: str) -> str:
    """Without what may be a secret: Slack's addresses, for one, are keys by themselves."""
    found = _ADDRESS.match(url)
    if found is None:
        return url
    origin = re.sub(r"//[^/]*@", "//", found[0])
    return f"{origin}/…" if url[found.end() :].strip("/") else origin


def format_of(hook_format: str, url: str) -> str:
    """How the messages to this address are written."""
    return hook_format or ("slack" if _SLACK.match(url) else "json")
