"""Detection of experiment files of other tools by their keys."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from orchestune.config.document.nodes import Entries, ScalarNode
from orchestune.errors import BadInput, Problem

SWEEP, KATIB = "a sweep of W&B", "an Experiment of Katib"


class _UnsupportedFormat(NamedTuple):
    """A file format of another tool that cannot be imported."""

    description: str
    marks: tuple[frozenset[str], ...]
    """sets of keys that identify it"""
    counterparts: str
    """the counterparts of its keys"""


_UNSUPPORTED = (
    _UnsupportedFormat(
        "an experiment of NNI",
        tuple(map(frozenset, [{"trialCommand"}, {"searchSpace"}, {"searchSpaceFile"}, {"trialConcurrency", "tuner"}])),
        "searchSpace becomes `parameters`, trialCommand `run`, maxTrialNumber `budget`, trialConcurrency `parallelism`,"
        " optimize_mode the goal in `metrics`",
    ),
    _UnsupportedFormat(
        "an experiment of Determined",
        tuple(map(frozenset, [{"searcher", "hyperparameters"}, {"searcher", "entrypoint"}])),
        "hyperparameters become `parameters`, entrypoint `run`, metric and smaller_is_better `metrics`,"
        " max_trials `budget`, max_concurrent_trials `parallelism`",
    ),
    _UnsupportedFormat(
        "a tuning job of SageMaker",
        tuple(map(frozenset, [{"HyperParameterTuningJobConfig"}, {"ParameterRanges"}])),
        "ParameterRanges become `parameters`, the objective `metrics`, MaxNumberOfTrainingJobs `budget`,"
        " MaxParallelTrainingJobs `parallelism`",
    ),
)


def kind(root: Entries) -> str | None:
    """Return SWEEP, KATIB, or None for any other file."""
    version, what = root.get("apiVersion"), root.get("kind")
    if isinstance(version, ScalarNode) and isinstance(what, ScalarNode) and version.text.startswith("kubeflow.org/"):
        return KATIB if what.text == "Experiment" else None
    if (
        root.get("run") is None
        and isinstance(root.get("parameters"), Entries)
        and isinstance(root.get("method"), ScalarNode)
    ):
        return SWEEP
    return None


def unsupported(root: Entries) -> tuple[str, str] | None:
    """Return the name of an unsupported tool's file and a hint, or None for any other file."""
    names = {key.text for key, _ in root.entries}
    for format in () if "run" in names else _UNSUPPORTED:
        if any(mark <= names for mark in format.marks):
            return f"{format.description}, which cannot be imported", f"rewrite it: {format.counterparts}"
    return None


def refuse(root: Entries) -> None:
    """Raise BadInput if this is a file of another tool, with the way to convert it."""
    file, importable, refusal = root.position.file, kind(root), unsupported(root)
    if importable is not None:
        refusal = importable, f"convert it with `orchestune init --from {shlex.quote(file)}`"
    if refusal is not None:
        raise BadInput(
            [Problem(f"this is {refusal[0]}", "", file, root.position.line, root.position.column, refusal[1])]
        )
