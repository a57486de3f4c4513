"""The page about the public record format, from the types of its lines."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec

from orchestune.archives import format

_OPENING = f"""\
# The record format

`orchestune export --all` writes one record per finished experiment, `experiments/ID.jsonl.gz`: gzipped JSON lines in
UTF-8. Every line is an object with a `type`. The first is a `record`, the last an `end`; what lies between has the
order of the sections below. The files that the record names (code, artifacts, checkpoints) lie beside it as
`blobs/XX/DIGEST`, where `DIGEST` is their SHA-256 and `XX` its first two characters.

```sh
gunzip -c archive/experiments/*.jsonl.gz | jq -c 'select(.type == "metric")'
```

The [JSON Schema](record.schema.json) describes one line. Times are seconds since 1970 in UTC, sizes are bytes. A
missing value is null; no field is ever left out.

## Versions

This is version {format.VERSION} of `{format.FORMAT}`. Any change of a field makes a new version. A server reads its own
version and all versions before it; version 1 will be read by every release for at least five years after a release
that writes a newer one. A newer version is refused with a message that asks for an upgrade.

## Integrity

`end.sha256` is the SHA-256 of all uncompressed lines before the last one, so a record that was cut off or changed is
noticed. `end.signature` proves to the server that wrote a record that it did; other servers show such a record as
[unverified](../how-to/archive.md). A line may have at most 24 MiB, the first one 32 MiB.
"""


def page() -> str:
    """Return the page."""
    sections = [_section(line) for line in (format.Head, *format.ITEMS, format.EndItem)]
    return "\n".join([_OPENING, *sections])


def schema() -> str:
    """Return the JSON Schema of a line."""
    return json.dumps(format.schema(), indent=1, ensure_ascii=False) + "\n"


def _section(line: type[msgspec.Struct]) -> str:
    name = format.type_of(line)
    definition = msgspec.json.schema(line)["$defs"][line.__name__]
    rows = [
        f"| `{field.name}` | {_type_text(definition['properties'][field.name])} | {_description(field.type)} |"
        for field in msgspec.structs.fields(line)
    ]
    return "\n".join([f"## `{name}`\n", f"{line.__doc__}\n", "| field | type | |", "|---|---|---|", *rows, ""])


def _type_text(schema: dict[str, Any]) -> str:
    """Return the JSON type of a field: `integer`, `text or null`."""
    if "anyOf" in schema:
        return " or ".join(_type_text(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return "a word"
    kinds = schema.get("type", "any")
    return " or ".join("text" if kind == "string" else kind for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _description(annotation: Any) -> str:
    """Return the description of a field, of the outermost annotation that has one."""
    own = [meta.description for meta in getattr(annotation, "__metadata__", ()) if meta.description]
    if own:
        return str(own[-1]).replace("|", "\\|")
    return next(filter(None, map(_description, get_args(annotation))), "")
