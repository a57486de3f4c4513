"""The spelling of SigOpt Orchestrate 0.7, turned into the present one before anything is read."""

from __future__ import annotations

from orchestune.config.cluster_file.pools import SHORT
from orchestune.config.document.nodes import Entries, Node, ScalarNode
from orchestune.config.document.report import ProblemReport

_RENAMED = {"provider": "cloud_provider", "name": "cluster_name"}


def converted(root: Entries, report: ProblemReport) -> Entries:
    """`provider`, `name`, `node_volume_size` and `aws` in the present spelling; nodes keep their places."""
    for old, new in _RENAMED.items():
        if root.get(new) is None:
            root = _renamed(root, old, new)
    entries: list[tuple[ScalarNode, Node]] = []
    for key, node in root.entries:
        if key.text == "aws" and isinstance(node, Entries):
            entries += _aws(node, report)
        elif key.text in SHORT and isinstance(node, Entries):
            entries.append((key, _renamed(node, "node_volume_size", "disk")))
        else:
            entries.append((key, node))
    return Entries(root.place, tuple(entries), root.size)


def _renamed(entries: Entries, old: str, new: str) -> Entries:
    if entries.get(new) is not None:
        return entries
    pairs = tuple((ScalarNode(key.place, new, new) if key.text == old else key, node) for key, node in entries.entries)
    return Entries(entries.place, pairs, entries.size)


def _aws(found: Entries, report: ProblemReport) -> list[tuple[ScalarNode, Node]]:
    kept: list[tuple[ScalarNode, Node]] = []
    for key, node in found.entries:
        if key.text == "additional_policies":
            kept.append((ScalarNode(key.place, "policies", "policies"), node))
        elif key.text in ("keys", "aws_access_key_id", "aws_secret_access_key"):
            report.notes.append(
                f"aws.{key.text} has no effect here: credentials come from AWS_PROFILE, the environment or the"
                " machine, and never stand in a file"
            )
        else:
            report.add(key.place, f"aws.{key.text}", "is no known key", "allowed: additional_policies, keys")
    return kept
