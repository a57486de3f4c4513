"""Ways on which values reach the user's command, beside arguments and variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ConfigFile:
    """The user's configuration file, cut where values of parameters stand."""

    name: str
    """of the file, without its folder"""
    parts: tuple[str | tuple[str, str], ...]
    """text, or a parameter and what stands there without it"""

    def to_json(self) -> dict[str, Any]:
        """As stored and as workers get it."""
        return {"name": self.name, "parts": [part if isinstance(part, str) else list(part) for part in self.parts]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> ConfigFile | None:
        """The inverse of `to_json`."""
        if not document:
            return None
        parts = (part if isinstance(part, str) else (str(part[0]), str(part[1])) for part in document["parts"])
        return cls(str(document["name"]), tuple(parts))


@dataclass(frozen=True)
class Source:
    """Where metrics are read that a command does not print in a usual spelling."""

    kind: str
    """`regex`, `csv`, `jsonl`, `json`, `tensorboard` or `mlflow`"""
    where: str
    """a regular expression for `regex`; else a path in the trial's folder, whose later parts may be patterns"""

    def to_json(self) -> dict[str, str]:
        """As stored and as workers get it."""
        return {"kind": self.kind, "where": self.where}

    @property
    def private(self) -> str:
        """What must be neither packed nor linked, so that only the trial itself writes there."""
        if self.kind == "regex":
            return ""
        parts = self.where.split("/")
        literal = next((index for index, part in enumerate(parts) if set("*?[") & set(part)), len(parts))
        return "/".join(parts[:literal])
