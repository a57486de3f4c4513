"""Inputs and outputs of the command besides arguments, environment variables and printed metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Parts = tuple[str | tuple[str, str], ...]
"""text that is split at the values of parameters: literal text, or a parameter's name and the original text there"""


@dataclass(frozen=True)
class ConfigTemplate:
    """Template of the user's configuration file."""

    name: str
    """file name without its folder"""
    parts: Parts
    path: str = ""
    """path of the file relative to the folder of the command; empty if it is not in that folder"""

    def to_json(self) -> dict[str, Any]:
        """Serialize for the store and for workers."""
        return {"name": self.name, "parts": _parts_json(self.parts), **({"path": self.path} if self.path else {})}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> ConfigTemplate | None:
        """Parse the output of `to_json`; None if absent."""
        if not document:
            return None
        return cls(str(document["name"]), _parts(document["parts"]), str(document.get("path") or ""))


SCRIPT_SUFFIXES = (".py", ".r")
"""of scripts whose constants may be parameters, in lower case"""


@dataclass(frozen=True)
class ConstantTemplate:
    """Lines of a script with constants that are parameters; each trial's copy of the script gets its own values."""

    path: str
    """path of the script in the folder of the code"""
    lines: tuple[tuple[int, Parts], ...]
    """number, counted from 1, and parts of each line"""

    @property
    def names(self) -> list[str]:
        """The parameters that are constants of the script."""
        return [part[0] for _, parts in self.lines for part in parts if not isinstance(part, str)]

    def to_json(self) -> dict[str, Any]:
        """Serialize for the store and for workers."""
        lines = [{"number": number, "parts": _parts_json(parts)} for number, parts in self.lines]
        return {"path": self.path, "lines": lines}

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> ConstantTemplate | None:
        """Parse the output of `to_json`; None if absent. Raises ValueError if the path names no script."""
        if not document:
            return None
        path = str(document["path"])
        if path.startswith("/") or ".." in path.split("/") or not path.lower().endswith(SCRIPT_SUFFIXES):
            raise ValueError(f"constants.path: '{path}' (expected a Python or R script in the folder of the code)")
        lines = tuple((int(line["number"]), _parts(line["parts"])) for line in document["lines"])
        return cls(path, lines)


def _parts_json(parts: Parts) -> list[str | list[str]]:
    return [part if isinstance(part, str) else list(part) for part in parts]


def _parts(document: Sequence[Any]) -> Parts:
    return tuple(part if isinstance(part, str) else _pair(part) for part in document)


def _pair(part: Sequence[Any]) -> tuple[str, str]:
    if len(part) != 2:
        raise ValueError(f"invalid part of a text: {part!r:.80} (expected two texts)")
    return str(part[0]), str(part[1])


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
