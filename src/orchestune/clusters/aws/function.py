"""The function that removes an idle cluster, as Lambda shows it."""

from __future__ import annotations

from typing import Any

from orchestune.clusters.aws.client import Aws
from orchestune.clusters.aws.names import TAG, Names

Document = dict[str, Any]


def described(aws: Aws, names: Names) -> Document | None:
    """The function of that name with its tags, whoever made it; None where there is none."""
    return aws.find("lambda", "GetFunction", {"FunctionName": names.function}, about=f"function {names.function}")


def tags(found: Document) -> dict[str, str]:
    """Its tags."""
    return dict(found.get("Tags") or {})


def ours(found: Document, names: Names) -> bool:
    """Whether we have made it."""
    return tags(found).get(TAG) == names.cluster
