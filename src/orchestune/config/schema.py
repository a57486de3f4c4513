"""The JSON Schema of the experiment file, for editors and other programs; made from the table of keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestune.config.keys import EXPERIMENT

FILE = Path(__file__).with_name("experiment.schema.json")


def json_schema() -> dict[str, Any]:
    """What a schema can say of the file: keys, types, ranges and spellings, but not how sections fit together."""
    grid = {"anyOf": [{"const": "grid"}, {"type": "object", "properties": {"name": {"const": "grid"}}}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orchestune experiment",
        **EXPERIMENT.schema,
        "anyOf": [{"required": ["budget"]}, {"required": ["engine"], "properties": {"engine": grid}}],
    }


def text() -> str:
    """The file as it is shipped."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"
