"""Lookup of the Lambda function that removes an idle cluster."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.names import TAG, Names

Document = dict[str, Any]


def described(aws: Aws, names: Names) -> Document | None:
    """Return the function with its tags, regardless of who created it; None if absent."""
    return aws.find("lambda", "GetFunction", {"FunctionName": names.function}, about=f"function {names.function}")


def tags(found: Document) -> dict[str, str]:
    """Return the tags of a described function."""
    return dict(found.get("Tags") or {})


def ours(found: Document, names: Names) -> bool:
    """Return True if the function was created by Orchestune for this cluster."""
    return tags(found).get(TAG) == names.cluster
