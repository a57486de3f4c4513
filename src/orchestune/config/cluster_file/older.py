"""Converts the format of SigOpt Orchestrate 0.7 to the current one before parsing."""

from __future__ import annotations

from orchestune.config.cluster_file.pools import TOP_LEVEL_POOLS
from orchestune.config.document.nodes import Entries, Node, ScalarNode
from orchestune.config.document.report import ProblemReport

_RENAMED = {"provider": "cloud_provider", "name": "cluster_name"}


def converted(root: Entries, report: ProblemReport) -> Entries:
    """Convert `provider`, `name`, `node_volume_size` and `aws` to the current format; nodes keep their positions."""
    for old, new in _RENAMED.items():
        if root.get(new) is None:
            root = _renamed(root, old, new)
    entries: list[tuple[ScalarNode, Node]] = []
    for key, node in root.entries:
        if key.text == "aws" and isinstance(node, Entries):
            entries += _aws(node, report)
        elif key.text in TOP_LEVEL_POOLS and isinstance(node, Entries):
            entries.append((key, _renamed(node, "node_volume_size", "disk")))
        else:
            entries.append((key, node))
    return Entries(root.position, tuple(entries), root.size)


def _renamed(entries: Entries, old: str, new: str) -> Entries:
    if entries.get(new) is not None:
        return entries
    pairs = tuple(
        (ScalarNode(key.position, new, new) if key.text == old else key, node) for key, node in entries.entries
    )
    return Entries(entries.position, pairs, entries.size)


def _aws(section: Entries, report: ProblemReport) -> list[tuple[ScalarNode, Node]]:
    entries: list[tuple[ScalarNode, Node]] = []
    for key, node in section.entries:
        if key.text == "additional_policies":
            entries.append((ScalarNode(key.position, "policies", "policies"), node))
        elif key.text in ("keys", "aws_access_key_id", "aws_secret_access_key"):
            report.notes.append(
                f"aws.{key.text} has no effect: credentials come from AWS_PROFILE, the environment or the"
                " machine, never from a file"
            )
        else:
            report.add(key.position, f"aws.{key.text}", "unknown key", "allowed keys: additional_policies, keys")
    return entries
