"""Manifests as YAML for people and for `kubectl apply -f -`."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import LiteralScalarString

Manifest = dict[str, Any]


def as_yaml(documents: Iterable[Manifest]) -> str:
    """Serialize documents to YAML, each preceded by `---`; values of Secrets are omitted."""
    writer = YAML()
    writer.width = 120
    writer.explicit_start = True
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    for document in documents:
        writer.dump(_readable(_without_secrets(document)), stream)
    return stream.getvalue()


def _without_secrets(document: Manifest) -> Manifest:
    if document.get("kind") != "Secret":
        return document
    return {**document, "data": dict.fromkeys(document["data"], "(not shown)")}


def _readable(value: Any) -> Any:
    """Convert multi-line strings to literal block scalars."""
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_readable(item) for item in value]
    return LiteralScalarString(value) if isinstance(value, str) and "\n" in value else value
