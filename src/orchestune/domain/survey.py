"""Who holds what of a place's machines, as far as the place shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestune.domain.resources import Resources

if TYPE_CHECKING:
    from orchestune.documents import SurveyedMachine


@dataclass(frozen=True)
class Surveyed:
    """One machine: what it has, and who uses it."""

    name: str
    pool: str
    has: Resources
    ours: Resources
    others: Resources | None
    """None: the place does not show it"""
    trouble: str = ""
    """why nothing is started there, in words; empty where all is well"""

    def to_json(self) -> SurveyedMachine:
        """The fields by name."""
        return {
            "name": self.name,
            "pool": self.pool,
            "has": self.has.to_json(),
            "ours": self.ours.to_json(),
            "others": self.others.to_json() if self.others is not None else None,
            "trouble": self.trouble or None,
        }
