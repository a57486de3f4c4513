"""Whose file it is, by its keys."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from orchestune.config.document.nodes import Entries, ScalarNode
from orchestune.errors import BadInput, Problem

SWEEP, KATIB = "a sweep of W&B", "an Experiment of Katib"


class _Unread(NamedTuple):
    """A kind of file that is not taken over."""

    what: str
    marks: tuple[frozenset[str], ...]
    """keys that together show it"""
    here: str
    """what becomes of its keys"""


_UNREAD = (
    _Unread(
        "an experiment of NNI",
        tuple(map(frozenset, [{"trialCommand"}, {"searchSpace"}, {"searchSpaceFile"}, {"trialConcurrency", "tuner"}])),
        "searchSpace is `parameters` here, trialCommand `run`, maxTrialNumber `budget`, trialConcurrency `parallelism`,"
        " optimize_mode the goal in `metrics`",
    ),
    _Unread(
        "an experiment of Determined",
        tuple(map(frozenset, [{"searcher", "hyperparameters"}, {"searcher", "entrypoint"}])),
        "hyperparameters are `parameters` here, entrypoint is `run`, metric and smaller_is_better are `metrics`,"
        " max_trials is `budget`, max_concurrent_trials `parallelism`",
    ),
    _Unread(
        "a tuning job of SageMaker",
        tuple(map(frozenset, [{"HyperParameterTuningJobConfig"}, {"ParameterRanges"}])),
        "ParameterRanges are `parameters` here, the objective is `metrics`, MaxNumberOfTrainingJobs `budget`,"
        " MaxParallelTrainingJobs `parallelism`",
    ),
)


def kind(root: Entries) -> str | None:
    """SWEEP, KATIB, or None for what is neither."""
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


def unread(root: Entries) -> tuple[str, str] | None:
    """Which other tool's it is that is not taken over, and what to do about that; None for any other file."""
    names = {key.text for key, _ in root.entries}
    for tool in () if "run" in names else _UNREAD:
        if any(mark <= names for mark in tool.marks):
            return f"{tool.what}, which is not read", f"it is short enough to be written anew: {tool.here}"
    return None


def refuse(root: Entries) -> None:
    """BadInput for the file of another tool, with how it becomes one of ours."""
    file, found, told = root.place.file, kind(root), unread(root)
    if found is not None:
        told = found, f"orchestune init --from {shlex.quote(file)} writes an experiment file that says the same"
    if told is not None:
        raise BadInput([Problem(f"this is {told[0]}", "", file, root.place.line, root.place.column, told[1])])
