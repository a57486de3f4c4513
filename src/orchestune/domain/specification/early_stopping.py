"""User settings of early stopping, which terminates unpromising trials before they finish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TYPES = ("asha", "median", "hyperband", "percentile", "wilcoxon")
OPTIONS: Mapping[str, frozenset[str]] = {
    "asha": frozenset({"min_steps", "reduction"}),
    "hyperband": frozenset({"min_steps", "reduction"}),
    "median": frozenset({"min_steps", "interval"}),
    "percentile": frozenset({"min_steps", "interval", "reduction"}),
    "wilcoxon": frozenset({"min_steps", "interval"}),
}
"""numeric options of each rule"""


@dataclass(frozen=True)
class EarlyStopping:
    """A rule and its options; None: the rule's own default (see `pruners.registry`)."""

    type: str
    metric: str | None = None
    """name of a declared metric; None: the first one"""
    min_steps: float | None = None
    """no trial is evaluated before this step"""
    interval: float | None = None
    """steps between two decisions"""
    reduction: float | None = None
    """the best 1/reduction of the trials continue"""
    grace: float | None = None
    """seconds between SIGTERM and SIGKILL; None: the experiment's `grace`"""

    def numbers(self) -> dict[str, float]:
        """Return those of `min_steps`, `interval` and `reduction` that are set."""
        options = {"min_steps": self.min_steps, "interval": self.interval, "reduction": self.reduction}
        return {name: value for name, value in options.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the long form of the experiment file."""
        return {"type": self.type, "metric": self.metric, "grace": self.grace} | {
            name: getattr(self, name) for name in ("min_steps", "interval", "reduction")
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> EarlyStopping | None:
        """Parse the output of `to_json`; None if empty."""
        if not document:
            return None
        names = ("metric", "min_steps", "interval", "reduction", "grace")
        return cls(document["type"], *(document.get(name) for name in names))
