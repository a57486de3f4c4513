"""Webhooks of an experiment, and the redaction of URLs that are secrets themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.domain.lifecycle.states import ExperimentState
from orchestune.domain.specification.metrics import Metric

MOMENTS = ("finished", "failed", "paused")
"""default events of a hook"""
BETTER, STUCK = "better", "stuck"
FORMATS = ("json", "slack")

_EVENT_BY_STATE = {
    ExperimentState.COMPLETED: "finished",
    ExperimentState.STOPPED: "finished",
    ExperimentState.FAILED: "failed",
    ExperimentState.PAUSED: "paused",
}
_ORIGIN = re.compile(r"https?://[^\s/?#]+", re.IGNORECASE)
_SLACK_URL = re.compile(r"https://hooks\.slack(?:-gov)?\.com/|https?://[^?#]*/slack/?$", re.IGNORECASE)


@dataclass(frozen=True)
class Hook:
    """Webhook that gets the events of an experiment."""

    url: str
    """the URL, or `env:NAME` or `file:PATH` on the client's machine; only its origin is stored"""
    secret: str = ""
    """`env:NAME` or `file:PATH` of the key that signs the messages; empty: unsigned"""
    on: tuple[str, ...] = MOMENTS
    better: float | None = None
    """also notify when the first metric becomes better than this value"""
    stuck: float | None = None
    """also notify after so many seconds without progress"""
    format: str = ""
    """one of `FORMATS`; empty: inferred from the URL"""

    def hears(self, moment: str) -> bool:
        """Return True if the hook subscribes to this event."""
        return moment in self.on

    def crossed(self, objective: Metric, before: float | None, value: float | None) -> bool:
        """Return True if the best value has just crossed the hook's `better` limit, from `before` to `value`."""
        limit = self.better
        if limit is None or value is None or not objective.better(value, limit):
            return False
        return before is None or not objective.better(before, limit)

    def to_json(self) -> dict[str, Any]:
        """Serialize for storage, with the URL redacted."""
        return {
            "url": public_part(self.url),
            "secret": self.secret,
            "on": list(self.on),
            "better": self.better,
            "stuck": self.stuck,
            "format": self.format,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Hook:
        """Parse a stored hook; its URL remains redacted."""
        return cls(
            str(document["url"]),
            str(document.get("secret") or ""),
            tuple(document.get("on", MOMENTS)),
            document.get("better"),
            document.get("stuck"),
            str(document.get("format") or ""),
        )


def moment(before: ExperimentState, state: ExperimentState) -> str:
    """Return the event name of a state change; empty if it triggers no notification."""
    return _EVENT_BY_STATE.get(state, "") if state is not before else ""


def is_address(text: str) -> bool:
    """Return True if the text is a URL itself and not an `env:` or `file:` reference."""
    return _ORIGIN.match(text) is not None


def public_part(url: str) -> str:
    """Return the URL without parts that may be secret: credentials, path and query (a Slack URL is itself a key)."""
    origin_match = _ORIGIN.match(url)
    if origin_match is None:
        return url
    origin = re.sub(r"//[^/]*@", "//", origin_match[0])
    return f"{origin}/…" if url[origin_match.end() :].strip("/") else origin


def format_of(hook_format: str, url: str) -> str:
    """Return the message format: the configured one, otherwise `slack` for Slack URLs and `json` for others."""
    return hook_format or ("slack" if _SLACK_URL.match(url) else "json")
