"""Size limits of experiments, so that those of one editor do not exhaust the server's memory.

The controllers hold specification and launch of every unfinished experiment, so the sum over these is bounded, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestune.domain.specification.experiment import Specification
from orchestune.errors import Conflict, TooLarge
from orchestune.store import experiment_lists
from orchestune.store.experiments import ExperimentRow
from orchestune.store.session import Session

# characters of JSON, which is ASCII
MAX_SPECIFICATION_BYTES = 800 * 2**10  # a config file alone may have 256 KiB: up to three times that when escaped
MAX_LAUNCH_BYTES = 2**18
MAX_LABELS_BYTES = 2**13  # searches read the labels of all experiments
MAX_METRICS_BYTES = 2**15  # lists show the metrics of up to 500 experiments
# A process at these limits, with five holders of all rows and eight lists at once, takes 0.94 GiB (measured); the
# server's pod in a cluster may take 2 GiB.
MAX_UNFINISHED_BYTES_OF_OWNER = 2**24
MAX_UNFINISHED_BYTES = 2**26
MAX_UNFINISHED_COUNT_OF_OWNER, MAX_UNFINISHED_COUNT = 1000, 4000  # unfinished experiments: each tick visits all
MAX_REVISIONS = 1000  # each stores specification and launch


def refuse_large(specification: Specification, launch: Mapping[str, object]) -> None:
    """Raise TooLarge if a part of a new experiment exceeds its limit."""
    document = specification.to_json()
    refuse_large_labels(specification.labels)
    _refuse("metrics", document["metrics"], MAX_METRICS_BYTES, "declare fewer")
    _refuse("the specification", document, MAX_SPECIFICATION_BYTES, "give large inputs as files of the code")
    refuse_large_launch(launch)


def refuse_large_labels(labels: Mapping[str, str]) -> None:
    """Raise TooLarge if the labels exceed their limit."""
    _refuse("labels", dict(labels), MAX_LABELS_BYTES, "use fewer or shorter ones")


def refuse_large_launch(launch: Mapping[str, object]) -> None:
    """Raise TooLarge if the launch exceeds its limit."""
    _refuse("the environment of the shell", dict(launch), MAX_LAUNCH_BYTES, "unset large variables")


def _refuse(name: str, document: object, most: int, hint: str) -> None:
    size = len(json.dumps(document))
    if size > most:
        raise TooLarge(f"{name}: {size:,} bytes as JSON (expected at most {most:,})", hint)


def refuse_more_unfinished(session: Session, row: ExperimentRow) -> None:
    """Raise Conflict if the unfinished experiments exceed their limits with `row`, which is about to become one.

    Owners who only claim their names are told apart by these names, so that one of them does not use up the limit of
    the others by mistake; the limit of all holds for them in any case.
    """
    is_counted = not row.state.over
    added = 0 if is_counted else len(row.specification_json) + len(row.launch_json)
    size = experiment_lists.unfinished_size(session, row.owner, row.principal)
    for whose, count, present, most_count, most in (
        (f"of '{row.owner}'", size.own_count, size.own, MAX_UNFINISHED_COUNT_OF_OWNER, MAX_UNFINISHED_BYTES_OF_OWNER),
        ("of all owners", size.total_count, size.total, MAX_UNFINISHED_COUNT, MAX_UNFINISHED_BYTES),
    ):
        if count + (not is_counted) > most_count:
            text = f"there would be {count + (not is_counted):,} unfinished experiments {whose}"
            raise Conflict(f"{text} (expected at most {most_count:,})", "stop some of them first")
        if present + added > most:
            size_in_mib = f"{(present + added) / 2**20:.1f} MiB (expected at most {most / 2**20:.0f} MiB)"
            text = f"the specifications of the unfinished experiments {whose} would take {size_in_mib}"
            raise Conflict(text, "stop some of them first")


def refuse_more_revisions(row: ExperimentRow) -> None:
    """Raise Conflict if the experiment has as many revisions as it may have."""
    if row.revision >= MAX_REVISIONS:
        text = f"{row.handle} has {row.revision:,} revisions of its code (expected at most {MAX_REVISIONS:,})"
        raise Conflict(text, f"`orchestune run --warm-start {row.handle}` begins another search with its results")
