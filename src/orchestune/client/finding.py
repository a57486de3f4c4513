"""What a check found out, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; `remedy` says what to do where it is not ok."""

    name: str
    state: Verdict
    detail: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """As `doctor --json` prints it, with `ok` for what asks for a truth."""
        return {"ok": self.state == "ok", **asdict(self)}
