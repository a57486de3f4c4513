"""Allocation of a cluster's machines, as far as the cluster shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestune.domain.resources.resources import Resources

if TYPE_CHECKING:
    from orchestune.documents import SurveyedMachine


@dataclass(frozen=True)
class MachineAllocation:
    """Capacity of one machine, and its use by Orchestune (`ours`) and by other workloads (`others`)."""

    name: str
    pool: str
    has: Resources
    ours: Resources
    others: Resources | None
    """None: not shown by the cluster"""
    trouble: str = ""
    """reason why nothing is started there; empty if there is none"""

    def to_json(self) -> SurveyedMachine:
        """Serialize the fields by name."""
        return {
            "name": self.name,
            "pool": self.pool,
            "has": self.has.to_json(),
            "ours": self.ours.to_json(),
            "others": self.others.to_json() if self.others is not None else None,
            "trouble": self.trouble or None,
        }
