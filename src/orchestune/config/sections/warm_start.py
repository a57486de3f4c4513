"""The key `warm_start`: results from elsewhere that the search begins with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestune.config.document.kinds import ValueKind, text
from orchestune.config.document.nodes import Entries, plain
from orchestune.config.document.report import Field
from orchestune.config.document.shapes import changed, either, list_of
from orchestune.config.sources.results_file import READERS, UnreadableResults, read
from orchestune.domain.search.space import Space
from orchestune.domain.search.warm_start import IDLE, MAPPED, WarmStart, WarmStarts, mapped, unusable
from orchestune.domain.specification.metrics import Metric

_WORDS = "an experiment, a file of results (.csv, .json, .jsonl), a result, or a list of these"
LISTED = "the file's list"
"""what messages call results that stand in the experiment file itself"""


Source = str | Mapping[str, Any]
"""an experiment, a path, or one result"""


def _read_result(found: Field) -> Source | None:
    if isinstance(found.node, Entries) and found.node.entries:
        document: dict[str, Any] = plain(found.node)
        return document
    found.expected("a mapping from the names of parameters and metrics to values")
    return None


_NAME = text("an experiment such as sgd-7f3a, or a file that ends with .csv, .json or .jsonl", r"[^\0\n]+", most=1000)
_RESULT = ValueKind[Source](
    "a mapping from the names of parameters and metrics to values", {"type": "object", "minProperties": 1}, _read_result
)
_ITEM: ValueKind[Source] = either(_WORDS, scalar=changed(_NAME, lambda name: name), mapping=_RESULT)
WARM_START: ValueKind[tuple[Source, ...]] = either(
    _WORDS,
    scalar=changed(_NAME, lambda name: (name,)),
    listing=list_of(_ITEM, _WORDS),
    mapping=changed(_RESULT, lambda result: (result,)),
)


def is_file(name: str) -> bool:
    """Whether it is the path of a file, and not an experiment."""
    return Path(name).suffix.lower() in READERS or "/" in name


def warm_starts(found: Field, sources: Sequence[Source], folder: Path, space: Space | None,
                metrics: Sequence[Metric], engine_learns: bool) -> WarmStarts:  # fmt: skip
    """What the sources give; files are relative to `folder`. What is wrong is reported, the rest noted.

    Without a space or metrics, where these are wrong themselves, files are read all the same: they may be wrong too.
    """
    fields = found.items() or [found]
    known: list[WarmStart] = []
    listed = [source for source in sources if not isinstance(source, str)]
    if listed and space is not None and metrics:
        known.append(_mapped(found, LISTED, listed, space, metrics))
    experiments: list[str] = []
    for field, source in zip(fields, sources, strict=False):
        if not isinstance(source, str):
            continue
        if not is_file(source):
            experiments.append(source)
            continue
        try:
            documents = read(folder / os.path.expanduser(source))  # leaves a user that there is none of as it stands
        except UnreadableResults as exc:
            field.wrong(str(exc))
            continue
        if space is not None and metrics:
            known.append(_mapped(field, source, documents, space, metrics))
    if sources and not engine_learns:
        found.note(IDLE)
    return WarmStarts(tuple(known), tuple(dict.fromkeys(experiments)))


def _mapped(field: Field, name: str, documents: Sequence[Mapping[str, Any]], space: Space,
            metrics: Sequence[Metric]) -> WarmStart:  # fmt: skip
    made = mapped(name, documents, space, metrics)
    if not made.observations:
        field.wrong(unusable(made), MAPPED)
    for note in made.notes if made.observations else ():
        field.report.notes.append(f"warm_start: {note}")
    return made
