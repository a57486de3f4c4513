"""The JSON Schemas of the files that people write, for editors and other programs; made from the tables of keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from orchestune.config.cluster_file.keys import CLUSTER
from orchestune.config.cluster_file.pools import TOP_LEVEL_POOLS
from orchestune.config.keys import EXPERIMENT


def experiment() -> str:
    """Build the schema of the file: keys, types, ranges and spellings, but not the relations between sections."""
    grid = {"anyOf": [{"const": "grid"}, {"type": "object", "properties": {"name": {"const": "grid"}}}]}
    least = [{"required": ["budget"]}, {"required": ["engine"], "properties": {"engine": grid}}]
    return _written("Orchestune experiment", EXPERIMENT.schema, least)


def cluster() -> str:
    """Build the schema of a cluster file in its current format."""
    return _written(
        "Orchestune cluster", CLUSTER.schema, [{"required": [name]} for name in (*TOP_LEVEL_POOLS, "pools")]
    )


def _written(title: str, schema: Mapping[str, Any], least: Sequence[Any]) -> str:
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **schema, "anyOf": least}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
