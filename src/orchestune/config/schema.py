"""The JSON Schemas of the files that people write, for editors and other programs; made from the tables of keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestune.config.cluster_file.keys import CLUSTER
from orchestune.config.cluster_file.pools import SHORT
from orchestune.config.keys import EXPERIMENT

FILE = Path(__file__).with_name("experiment.schema.json")
CLUSTER_FILE = Path(__file__).with_name("cluster.schema.json")


def json_schema() -> dict[str, Any]:
    """What a schema can say of the file: keys, types, ranges and spellings, but not how sections fit together."""
    grid = {"anyOf": [{"const": "grid"}, {"type": "object", "properties": {"name": {"const": "grid"}}}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orchestune experiment",
        **EXPERIMENT.schema,
        "anyOf": [{"required": ["budget"]}, {"required": ["engine"], "properties": {"engine": grid}}],
    }


def cluster_schema() -> dict[str, Any]:
    """The same of a cluster file in its present spelling."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orchestune cluster",
        **CLUSTER.schema,
        "anyOf": [{"required": [name]} for name in (*SHORT, "pools")],
    }


def text() -> str:
    """The file as it is shipped."""
    return _written(json_schema())


def cluster_text() -> str:
    """The same of the schema of cluster files."""
    return _written(cluster_schema())


def _written(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
