"""Translate between the rows of the store and the items of the public record format.

The format stays when the schema changes; this is the one place that knows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from msgspec import Raw, Struct, inspect

from orchestune.archives import format
from orchestune.archives.format import Item
from orchestune.store.archive import Row
from orchestune.store.log_compression import packed

TABLE_OF: Mapping[type[Struct], str] = {
    format.ExperimentItem: "experiments",
    format.RevisionItem: "revisions",
    format.WarmStartItem: "warm_starts",
    format.WorkerItem: "workers",
    format.TrialItem: "trials",
    format.MetricItem: "trial_metrics",
    format.FoldItem: "folds",
    format.AttemptItem: "attempts",
    format.PointItem: "points",
    format.UsageItem: "usage",
    format.ObservationItem: "pruner_observations",
    format.ArtifactItem: "artifacts",
    format.EventItem: "events",
    format.LogItem: "log_segments",
}
_TYPE_OF = {table: item for item, table in TABLE_OF.items()}
_COLUMNS: Mapping[type[Struct], Mapping[str, str]] = {
    format.ExperimentItem: {
        "last_event": "event_seq",
        "last_log": "log_seq",
        "last_worker": "worker_seq",
        "results": "history_seq",
    },
    format.TrialItem: {"result": "history_seq", "checkpoint": "initial_checkpoint"},
    format.FoldItem: {"attempts": "lease_token"},
    format.AttemptItem: {"points": "point_count"},
    format.ObservationItem: {"sequence": "seq"},
    format.EventItem: {"number": "seq"},
    format.LogItem: {"number": "seq"},
}
"""Field → column, if their names differ."""
_FIELDS = {
    item: [(name, _COLUMNS.get(item, {}).get(name, name)) for name in item.__struct_fields__] for item in TABLE_OF
}
"""Fields with their columns."""


def _fields_of(kind: type[inspect.Type]) -> frozenset[tuple[type[Struct], str]]:
    """Return the fields whose values are of a kind of type, alone or in a union."""
    return frozenset(
        (item, field.name)
        for item in TABLE_OF
        for field in cast(inspect.StructType, inspect.type_info(item)).fields
        if any(isinstance(part, kind) for part in _parts(field.type))
    )


def _parts(declared: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the types of a union, or the type itself, without its annotations."""
    if isinstance(declared, inspect.Metadata):
        yield from _parts(declared.type)
    elif isinstance(declared, inspect.UnionType):
        for each in declared.types:
            yield from _parts(each)
    else:
        yield declared


_JSON, _BOOLEAN = _fields_of(inspect.RawType), _fields_of(inspect.BoolType)


def item_of(table: str, row: Mapping[str, Any]) -> Item:
    """Convert a row to an item; the bytes of a log segment must be in `data`."""
    kind = _TYPE_OF[table]
    values = {name: row[column] for name, column in _FIELDS[kind]}
    for name, value in values.items():
        if (kind, name) in _JSON:
            values[name] = format.raw(value)
        elif (kind, name) in _BOOLEAN:
            values[name] = bool(value)
    return kind(**values)  # type: ignore[return-value]  # `_TYPE_OF` contains only items


def row_of(item: Item, experiment: str) -> Row:
    """Convert an item to a row with the columns that the format has. Raises UnicodeDecodeError for non-UTF-8 JSON."""
    kind = type(item)
    row: Row = {}
    for name, column in _FIELDS[kind]:
        value = getattr(item, name)
        if isinstance(value, Raw):
            text = bytes(value).decode()
            value = None if text == "null" and (kind, name) in format.NULLABLE else text
        row[column] = value
    if not isinstance(item, format.ExperimentItem | format.PointItem):
        row["experiment"] = experiment
    if isinstance(item, format.LogItem):
        row |= {"length": len(item.data), "data": packed(item.data)}
    return row
