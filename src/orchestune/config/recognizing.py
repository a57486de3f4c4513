"""Whose file it is, by its keys."""

from __future__ import annotations

from orchestune.config.nodes import Entries, Scalar
from orchestune.errors import BadInput, Problem

SWEEP, KATIB = "a sweep of W&B", "an Experiment of Katib"


def kind(root: Entries) -> str | None:
    """SWEEP, KATIB, or None for what is neither."""
    version, what = root.get("apiVersion"), root.get("kind")
    if isinstance(version, Scalar) and isinstance(what, Scalar) and version.text.startswith("kubeflow.org/"):
        return KATIB if what.text == "Experiment" else None
    if (
        root.get("run") is None
        and isinstance(root.get("parameters"), Entries)
        and isinstance(root.get("method"), Scalar)
    ):
        return SWEEP
    return None


def refuse(root: Entries) -> None:
    """BadInput for the file of another tool, with how it becomes one of ours."""
    found = kind(root)
    if found is not None:
        file = root.place.file
        hint = f"orchestune init --from {file} writes an experiment file that says the same"
        raise BadInput([Problem(f"this is {found}", "", file, root.place.line, root.place.column, hint)])
