"""Result of a diagnostic check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class CheckResult:
    """Result of one check; `remedy` is an instruction if it is not ok."""

    name: str
    state: Verdict
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `doctor --json` prints, with the boolean `ok` added."""
        return {"ok": self.state == "ok", **asdict(self)}
