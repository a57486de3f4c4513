"""Lookup of the Lambda function that removes an idle cluster.

Separate from `steps.teardown`: this module runs inside the function itself, whose package lacks what that one imports.
"""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.names import TAG, Names

Document = dict[str, Any]


def describe_function(aws: Aws, names: Names) -> Document | None:
    """Return the function with its tags, regardless of who created it; None if absent."""
    return aws.find("lambda", "GetFunction", {"FunctionName": names.function}, about=f"function {names.function}")


def function_tags(function: Document) -> dict[str, str]:
    """Return the tags of a described function."""
    return dict(function.get("Tags") or {})


def is_our_function(function: Document, names: Names) -> bool:
    """Return True if the function was created by Orchestune for this cluster."""
    return function_tags(function).get(TAG) == names.cluster
