"""The sections `keep` and `checkpoint`: files that outlive a trial, and its checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestune.config.document.kinds import BOOLEAN, MAX_TRIALS, SIZE, TIME, Key, ValueKind, integer, string
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of, section
from orchestune.domain.specification.experiment import Keep


def _read_pattern(field: Field) -> str | None:
    pattern = _ANY.read(field)
    if pattern is None:
        return None
    if pattern.startswith(("/", "~")) or ".." in PurePosixPath(pattern.replace("\\", "/")).parts:
        field.reject("must be inside the trial's folder", "write a relative path without ..")
        return None
    parts = pattern.split("/")
    if any("**" in part and part != "**" for part in parts):
        field.reject("`**` must be a path component of its own", f"write `{_with_separate_stars(parts)}`")
        return None
    return pattern


def _with_separate_stars(parts: list[str]) -> str:
    """Return the pattern with `**` as separate components: `**/*.pt` for `**.pt`, and `out*/**/x` for `out**/x`."""
    components = []
    for number, part in enumerate(parts):
        single = re.sub(r"\*{2,}", "*", part)
        if single == part or part == "**":
            components += [part]
        else:
            components += ["**", single] if number == len(parts) - 1 else [single, "**"]
    return "/".join(components)


_ANY = string("a path or a pattern such as best.pt or plots/*.png", most=1000)
_INSIDE = r"^(?!/|~|(?:.*[/\\])?\.\.(?:[/\\]|$))"
_DEEP = r"^(?!.*[^/]\*\*|.*\*\*[^/])"
_PATTERN = ValueKind[str](
    _ANY.words, {**_ANY.schema, "allOf": [{"pattern": _INSIDE}, {"pattern": _DEEP}]}, _read_pattern
)
_PATTERNS = either("a pattern or a list of patterns", scalar=converted(_PATTERN, lambda one: (one,)),
                   listing=list_of(_PATTERN, "a list with at least one pattern", most=1000))  # fmt: skip


def _read_keep(field: Field) -> Keep | None:
    section = _KEEP.read(field) or {}
    if "keep_best" in section and "best" in section:
        field.reject("has both `keep_best` and `best`", "remove one: they mean the same")
        return None
    best = section.get("keep_best", section.get("best"))
    return Keep(section.get("patterns") or (), best, section.get("limit") or Keep().limit)


_KEEP = section(
    (
        Key("patterns", _PATTERNS, "Files of a trial's folder to keep after it has ended.", required=True),
        Key(
            "keep_best",
            integer(1, MAX_TRIALS),
            "Number of best trials whose files are kept: trials within every limit come"
            " first, and those shown by `best` are kept in any case.",
            "all",
        ),
        Key("best", integer(1, MAX_TRIALS), "Alias of `keep_best`."),
        Key("limit", SIZE, "Maximum size of the files of one trial.", "1Gi"),
    ),
    also={"files": "patterns", "paths": "patterns", "pattern": "patterns"},
)
KEEP = either(
    "a list of patterns, or a mapping with patterns, keep_best, limit",
    scalar=converted(_PATTERN, lambda one: Keep((one,))),
    listing=converted(list_of(_PATTERN, "a list of patterns", least=0, most=1000), lambda patterns: Keep(patterns)),
    mapping=_KEEP.read_by(_read_keep),
)


CHECKPOINT_EVERY = 300.0
_WORDS = "true, or a duration such as 5m"


@dataclass(frozen=True)
class CheckpointSettings:
    """Seconds between checkpoints; None if there are none."""

    every: float | None


def _read_checkpoint(field: Field) -> CheckpointSettings | None:
    if isinstance(field.node, ScalarNode) and isinstance(field.node.value, bool):
        return CheckpointSettings(CHECKPOINT_EVERY if field.node.value else None)
    if isinstance(field.node, ScalarNode) and field.node.text.isalpha():  # `yes` is a string in YAML 1.2
        field.expected(_WORDS)
        return None
    every = TIME.read(field)
    return None if every is None else CheckpointSettings(every)


_EVERY = (Key("every", TIME, "Time between uploads of the folder while the trial runs.", "5m"),)
CHECKPOINT = either(
    "true, a duration such as 5m, or a mapping with every",
    scalar=ValueKind[CheckpointSettings](_WORDS, {"anyOf": [BOOLEAN.schema, TIME.schema]},
                            _read_checkpoint),
    mapping=converted(section(_EVERY, also={"interval": "every"}),
                    lambda read: CheckpointSettings(read.get("every") or CHECKPOINT_EVERY)),
)  # fmt: skip
