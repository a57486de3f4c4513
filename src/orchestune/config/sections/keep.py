"""The sections `keep` and `checkpoint`: what a trial leaves behind, at its end and before."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestune.config.document.kinds import MOST_TRIALS, SIZE, TIME, TRUTH, Key, ValueKind, text, whole
from orchestune.config.document.nodes import ScalarNode
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of, section
from orchestune.domain.specification.experiment import Keep


def _read_pattern(found: Field) -> str | None:
    pattern = _ANY.read(found)
    if pattern is None:
        return None
    if pattern.startswith(("/", "~")) or ".." in PurePosixPath(pattern.replace("\\", "/")).parts:
        found.wrong("must lie within the trial's folder", "write a relative path without ..")
        return None
    parts = pattern.split("/")
    if any("**" in part and part != "**" for part in parts):
        found.wrong("`**` stands for folders, and alone between slashes", f"write `{_spelled_out(parts)}`")
        return None
    return pattern


def _spelled_out(parts: list[str]) -> str:
    """What was meant: `**/*.pt` for `**.pt`, and `out*/**/x` for `out**/x`."""
    found = []
    for number, part in enumerate(parts):
        single = re.sub(r"\*{2,}", "*", part)
        if single == part or part == "**":
            found += [part]
        else:
            found += ["**", single] if number == len(parts) - 1 else [single, "**"]
    return "/".join(found)


_ANY = text("a path or a pattern such as best.pt or plots/*.png", most=1000)
_INSIDE = r"^(?!/|~|(?:.*[/\\])?\.\.(?:[/\\]|$))"
_DEEP = r"^(?!.*[^/]\*\*|.*\*\*[^/])"
_PATTERN = ValueKind[str](
    _ANY.words, {**_ANY.schema, "allOf": [{"pattern": _INSIDE}, {"pattern": _DEEP}]}, _read_pattern
)
_PATTERNS = either("a pattern or a list of patterns", scalar=changed(_PATTERN, lambda one: (one,)),
                   listing=list_of(_PATTERN, "a list with at least one pattern", most=1000))  # fmt: skip


def _read_keep(found: Field) -> Keep | None:
    read = _KEEP.read(found) or {}
    if "keep_best" in read and "best" in read:
        found.wrong("has both `keep_best` and `best`", "they mean the same; keep one")
        return None
    best = read.get("keep_best", read.get("best"))
    return Keep(read.get("patterns") or (), best, read.get("limit") or Keep().limit)


_KEEP = section(
    (
        Key("patterns", _PATTERNS, "Files of a trial's folder that are kept after it ended.", required=True),
        Key(
            "keep_best",
            whole(1, MOST_TRIALS),
            "Only those of so many best trials are retained: trials that keep every"
            " limit come first, and those that `best` shows stay in any case.",
            "all",
        ),
        Key("best", whole(1, MOST_TRIALS), "Another name of `keep_best`."),
        Key("limit", SIZE, "How much one trial may leave.", "1Gi"),
    ),
    also={"files": "patterns", "paths": "patterns", "pattern": "patterns"},
)
KEEP = either(
    "a list of patterns, or a mapping with patterns, keep_best, limit",
    scalar=changed(_PATTERN, lambda one: Keep((one,))),
    listing=changed(list_of(_PATTERN, "a list of patterns", least=0, most=1000), lambda patterns: Keep(patterns)),
    mapping=_KEEP.read_by(_read_keep),
)


CHECKPOINT_EVERY = 300.0
_WORDS = "true, or a length of time such as 5m"


@dataclass(frozen=True)
class CheckpointSettings:
    """Whether there are checkpoints, and how many seconds apart."""

    every: float | None


def _read_checkpoint(found: Field) -> CheckpointSettings | None:
    if isinstance(found.node, ScalarNode) and isinstance(found.node.value, bool):
        return CheckpointSettings(CHECKPOINT_EVERY if found.node.value else None)
    if isinstance(found.node, ScalarNode) and found.node.text.isalpha():  # a word, as `yes` is one in YAML 1.2
        found.expected(_WORDS)
        return None
    every = TIME.read(found)
    return None if every is None else CheckpointSettings(every)


_EVERY = (Key("every", TIME, "How often the folder is published while the trial runs.", "5m"),)
CHECKPOINT = either(
    "true, a length of time such as 5m, or a mapping with every",
    scalar=ValueKind[CheckpointSettings](_WORDS, {"anyOf": [TRUTH.schema, TIME.schema]},
                            _read_checkpoint),
    mapping=changed(section(_EVERY, also={"interval": "every"}),
                    lambda read: CheckpointSettings(read.get("every") or CHECKPOINT_EVERY)),
)  # fmt: skip
