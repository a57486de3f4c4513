"""The key `warm_start`: earlier results that the engine learns from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.config.document.kinds import ValueKind, string
from orchestune.config.document.nodes import Entries, plain
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import converted, either, list_of
from orchestune.config.sources.results_file import READERS, UnreadableResults, read
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import IDLE, MAPPED, WarmStart, WarmStarts, mapped, unusable
from orchestune.domain.specification.metrics import Metric

_WORDS = "an experiment, a file of results (.csv, .json, .jsonl), a result, or a list of these"
LISTED = "the file's list"
"""name in messages of results listed in the experiment file itself"""


Source = str | Mapping[str, Any]
"""an experiment, a path, or one result"""


def _read_result(field: Field) -> Source | None:
    if isinstance(field.node, Entries) and field.node.entries:
        document: dict[str, Any] = plain(field.node)
        return document
    field.expected("a mapping from the names of parameters and metrics to values")
    return None


_NAME = string("an experiment such as sgd-7f3a, or a file that ends with .csv, .json or .jsonl", r"[^\0\n]+", most=1000)
_RESULT = ValueKind[Source](
    "a mapping from the names of parameters and metrics to values", {"type": "object", "minProperties": 1}, _read_result
)
_ITEM: ValueKind[Source] = either(_WORDS, scalar=converted(_NAME, lambda name: name), mapping=_RESULT)
WARM_START: ValueKind[tuple[Source, ...]] = either(
    _WORDS,
    scalar=converted(_NAME, lambda name: (name,)),
    listing=list_of(_ITEM, _WORDS),
    mapping=converted(_RESULT, lambda result: (result,)),
)


def is_file(name: str) -> bool:
    """Return True if a source is the path of a file, not an experiment."""
    return Path(name).suffix.lower() in READERS or "/" in name


def warm_starts(field: Field, sources: Sequence[Source], folder: Path, space: Space | None,
                metrics: Sequence[Metric], engine_learns: bool) -> WarmStarts:  # fmt: skip
    """Resolve the sources. Files are relative to `folder`. Problems are reported; what is unusable is noted.

    `space` is None and `metrics` empty if they are invalid: files are read even then, to report their problems too.
    """
    entries = field.items() or [field]
    starts: list[WarmStart] = []
    listed = [source for source in sources if not isinstance(source, str)]
    if listed and space is not None and metrics:
        starts.append(_mapped(field, LISTED, listed, space, metrics))
    experiments: list[str] = []
    for entry, source in zip(entries, sources, strict=False):
        if not isinstance(source, str):
            continue
        if not is_file(source):
            experiments.append(source)
            continue
        try:
            documents = read(folder / os.path.expanduser(source))  # leaves `~user` unchanged if there is no such user
        except UnreadableResults as exc:
            entry.reject(str(exc))
            continue
        if space is not None and metrics:
            starts.append(_mapped(entry, source, documents, space, metrics))
    if sources and not engine_learns:
        field.note(IDLE)
    return WarmStarts(tuple(starts), tuple(dict.fromkeys(experiments)))


def _mapped(field: Field, name: str, documents: Sequence[Mapping[str, Any]], space: Space,
            metrics: Sequence[Metric]) -> WarmStart:  # fmt: skip
    start = mapped(name, documents, space, metrics)
    if not start.observations:
        field.reject(unusable(start), MAPPED)
    for note in start.notes if start.observations else ():
        field.report.notes.append(f"warm_start: {note}")
    return start
