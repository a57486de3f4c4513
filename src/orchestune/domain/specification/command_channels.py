"""Inputs and outputs of the command besides arguments, environment variables and printed metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ConfigTemplate:
    """Template of the user's configuration file, split at the values of parameters."""

    name: str
    """file name without its folder"""
    parts: tuple[str | tuple[str, str], ...]
    """literal text, or a parameter name and the original text at its position"""

    def to_json(self) -> dict[str, Any]:
        """Serialize for the store and for workers."""
        return {"name": self.name, "parts": [part if isinstance(part, str) else list(part) for part in self.parts]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> ConfigTemplate | None:
        """Parse the output of `to_json`; None if absent."""
        if not document:
            return None
        parts = (part if isinstance(part, str) else (str(part[0]), str(part[1])) for part in document["parts"])
        return cls(str(document["name"]), tuple(parts))


@dataclass(frozen=True)
class MetricSource:
    """Source of metrics that the command does not print in a standard format."""

    kind: str
    """`regex`, `csv`, `jsonl`, `json`, `tensorboard` or `mlflow`"""
    where: str
    """a regular expression for `regex`; otherwise a path in the trial's folder, whose later parts may be globs"""

    def to_json(self) -> dict[str, str]:
        """Serialize for the store and for workers."""
        return {"kind": self.kind, "where": self.where}

    @property
    def private(self) -> str:
        """Path that must be neither bundled nor linked, so that only the trial writes there; empty for `regex`."""
        if self.kind == "regex":
            return ""
        parts = self.where.split("/")
        literal = next((index for index, part in enumerate(parts) if set("*?[") & set(part)), len(parts))
        return "/".join(parts[:literal])
