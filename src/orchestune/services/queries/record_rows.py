"""Translate between the rows of the store and the items of the public record format.

The format stays when the schema changes; this is the one place that knows both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from orchestune.archives import format
from orchestune.archives.format import Item
from orchestune.store.archive import Row

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
    item: [
        (field.name, _COLUMNS.get(item, {}).get(field.name, field.name), field.type)
        for field in msgspec.structs.fields(item)
    ]
    for item in TABLE_OF
}


def _holds(annotation: Any, type_in_it: type) -> bool:
    inner = getattr(annotation, "__args__", ())
    return annotation is type_in_it or any(_holds(each, type_in_it) for each in inner)


_JSON = {(item, name) for item, fields in _FIELDS.items() for name, _, kind in fields if _holds(kind, Raw)}
_BOOLEAN = {(item, name) for item, fields in _FIELDS.items() for name, _, kind in fields if _holds(kind, bool)}


def item_of(table: str, row: Mapping[str, Any]) -> Item:
    """Convert a row to an item; the bytes of a log segment must be in `data`."""
    kind = _TYPE_OF[table]
    values = {name: row[column] for name, column, _ in _FIELDS[kind]}
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
    for name, column, _ in _FIELDS[kind]:
        value = getattr(item, name)
        if isinstance(value, Raw):
            text = bytes(value).decode()
            value = None if text == "null" and (kind, name) in format.NULLABLE else text
        row[column] = value
    if not isinstance(item, format.ExperimentItem | format.PointItem):
        row["experiment"] = experiment
    if isinstance(item, format.LogItem):
        row["length"] = len(item.data)
    return row
