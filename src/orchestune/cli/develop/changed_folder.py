"""The folder as it is now, and what an experiment says of how to run it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.experiments.command_words import DEFAULT_FILE
from orchestune.cli.experiments.prepare import PreparedExperiment, listed
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.progress import nothing_best
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import OrchestuneError
from orchestune.sdk.submitting import how_packed

if TYPE_CHECKING:
    from orchestune import documents

_HOW_TO_RUN = ("run", "env", "parameters", "metrics", "config", "stdin", "collect", "timeout", "resources")
"""keys whose change somebody who tries code would look for in the trial"""


@dataclass(frozen=True)
class OriginalExperiment:
    """What a trial of changed code is modelled on."""

    status: documents.Status
    document: documents.Specification
    trial: documents.Trial | None
    """the one whose configuration it takes; None where none is the best"""
    why: str
    """what this one is, or why there is none, in words"""

    @property
    def specification(self) -> Specification:
        """How trials are run."""
        return Specification.from_json(self.document["specification"])


def model(console: Console, ref: str, number: int | None) -> OriginalExperiment:
    """The trial `number` of an experiment, else its best one."""
    client, status = console.client, console.client.experiment(ref)
    if number is not None:
        trial = client.trial(ref, number)
        return OriginalExperiment(
            status, client.specification(ref, trial["revision"]), trial, f"{status['handle']}/{number}"
        )
    best = status["best"][0]["trial"] if status["best"] else None
    if best is None:
        return OriginalExperiment(status, client.specification(ref), None, nothing_best(status))
    more = ", the first of the Pareto front" if len(status["best"]) > 1 else ", the best so far"
    return OriginalExperiment(
        status, client.specification(ref), client.trial(ref, best), f"{status['handle']}/{best}{more}"
    )


def changed(console: Console, found: OriginalExperiment, folder: Path | None) -> tuple[PreparedExperiment, list[str]]:
    """The code in `folder`, else in this folder, and what is to be known of it. A folder below the experiment's own
    stands for that one.
    """
    launch, handle = found.document["launch"], found.status["handle"]
    root = Path(launch["root"]) if launch.get("root") else None
    here = Path(os.path.realpath(folder or console.folder))  # also of a link to itself
    notes = []
    if folder is None and root is not None and root in here.parents and root.is_dir():
        here = root
    if root is not None and here != root:
        notes.append(f"the code is that of {here}; {handle} was started in {root}")
    return listed(found.specification, here, how_packed(launch)), [*notes, *_otherwise(found, here)]


def _otherwise(found: OriginalExperiment, folder: Path) -> list[str]:
    """What to say where the file in the folder would run trials in another way."""
    file, before = folder / DEFAULT_FILE, found.specification.to_json()
    if not file.is_file():
        return []
    from orchestune.config.experiment_file import load  # ruamel.yaml is slow to import

    try:
        now = load(file).specification.to_json()
    except OrchestuneError:
        return [f"{DEFAULT_FILE} cannot be used as it is now, and is not needed here; `orchestune test` says why"]
    keys = [name for name in _HOW_TO_RUN if now[name] != before[name]]
    if not keys or now["name"] != before["name"]:  # another name: it describes another experiment
        return []
    which = f"{', '.join(keys[:-1])} and {keys[-1]}" if len(keys) > 1 else keys[0]
    text = f"{DEFAULT_FILE} is not what {found.status['handle']} was started with: {which}. That is not taken here;"
    return [f"{text} `orchestune test` and `orchestune run` take it"]
