"""The current code of a folder, and the experiment whose settings a trial of it uses."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.experiments.authorship import folder_of, is_own
from orchestune.cli.experiments.command_words import DEFAULT_FILE
from orchestune.cli.experiments.prepare import PreparedExperiment, listed
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.progress import no_best_reason
from orchestune.domain.specification.code import CodeSettings
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import OrchestuneError
from orchestune.sdk.submitting import how_packed
from orchestune.system.project_root import project_root

if TYPE_CHECKING:
    from orchestune import documents

_RUN_KEYS = ("run", "env", "parameters", "metrics", "config", "stdin", "collect", "timeout", "resources")
"""keys whose changes a user would expect to see in a trial of the changed code"""


@dataclass(frozen=True)
class OriginalExperiment:
    """The experiment and trial that a trial of changed code is based on."""

    status: documents.Status
    document: documents.Specification
    trial: documents.Trial | None
    """the trial whose configuration is used; None if there is no best one"""
    why: str
    """description of this trial, or why there is none"""

    @property
    def reference(self) -> str:
        """The handle, with the number of the trial if there is one."""
        return self.status["handle"] if self.trial is None else f"{self.status['handle']}/{self.trial['number']}"

    @property
    def specification(self) -> Specification:
        """The specification of its trials."""
        return Specification.from_json(self.document["specification"])


def original_experiment(console: Console, ref: str, number: int | None) -> OriginalExperiment:
    """Return the trial `number` of an experiment, or its best one."""
    client, status = console.client, console.client.experiment(ref)
    if number is not None:
        trial = client.trial(ref, number)
        return OriginalExperiment(
            status, client.specification(ref, trial["revision"]), trial, f"{status['handle']}/{number}"
        )
    best = status["best"][0]["trial"] if status["best"] else None
    if best is None:
        return OriginalExperiment(status, client.specification(ref), None, no_best_reason(status))
    suffix = ", the first of the Pareto front" if len(status["best"]) > 1 else ", the best so far"
    return OriginalExperiment(
        status, client.specification(ref), client.trial(ref, best), f"{status['handle']}/{best}{suffix}"
    )


def changed_experiment(
    console: Console, original: OriginalExperiment, folder: Path | None
) -> tuple[PreparedExperiment, list[str]]:
    """Return the code in `folder`, by default this folder, with notes about it.

    A subfolder of the experiment's own folder stands for the latter.

    The author of another user's experiment chooses neither the folder nor which of its files are packed.
    """
    status, document, handle = original.status, original.document, original.status["handle"]
    is_callers = is_own(console, status, document)
    code = how_packed((document["launch"] or {}) if is_callers else {})
    root = _root(folder_of(console, status, document), code) if is_callers else None
    code_folder = Path(os.path.realpath(folder or console.folder))  # also resolves a link to itself
    notes = []
    if folder is None and root is not None and root in code_folder.parents and root.is_dir():
        code_folder = root
    if code_folder != root:
        code_folder, code = _project(code_folder, code)
    if root is not None and code_folder != root:
        notes.append(f"using the code in {code_folder}; {handle} was started in {root}")
    specification = _relocated(original.specification, code_folder / code.folder)
    if not is_callers:
        specification = replace(specification, inherit_env=False)
    return listed(specification, code_folder, code), [
        *notes,
        *_ignored_changes(original, code_folder / code.folder),
    ]


def _relocated(specification: Specification, folder: Path) -> Specification:
    """Return the specification with the lines of its constants in the changed code."""
    if specification.constants is None:
        return specification
    from orchestune.config.sections.template import relocated  # ruamel.yaml is slow to import

    return replace(specification, constants=relocated(specification.constants, folder))


def _root(folder: Path | None, code: CodeSettings) -> Path | None:
    """Return the root of the project in whose `folder` an experiment was started; None if unknown."""
    if folder is None or not code.folder:
        return folder
    root = Path(str(folder).removesuffix(f"/{code.folder}"))
    return None if root == folder else root


def _project(folder: Path, code: CodeSettings) -> tuple[Path, CodeSettings]:
    """Return the project of another folder, and the settings for its code.

    The command runs in the same subfolder as before if the project has it, otherwise in the folder itself.
    """
    root = project_root(folder).path
    if code.folder and (root / code.folder).is_dir():
        return root, code
    relative = os.path.relpath(folder, root)
    return root, replace(code, folder="" if relative == os.curdir else relative)


def _ignored_changes(original: OriginalExperiment, folder: Path) -> list[str]:
    """Return a note if the experiment file in the folder would run trials differently."""
    file, started_with = folder / DEFAULT_FILE, original.specification.to_json()
    if not file.is_file():
        return []
    from orchestune.config.experiment_file import load  # ruamel.yaml is slow to import

    try:
        current = load(file).specification.to_json()
    except OrchestuneError:
        return [f"{DEFAULT_FILE} is invalid (see `orchestune test`), but not needed here"]
    keys = [name for name in _RUN_KEYS if current[name] != started_with[name]]
    if not keys or current["name"] != started_with["name"]:  # another name: a different experiment
        return []
    key_list = f"{', '.join(keys[:-1])} and {keys[-1]}" if len(keys) > 1 else keys[0]
    text = f"{DEFAULT_FILE} differs from what {original.status['handle']} was started with: {key_list}. Ignored here;"
    return [f"{text} `orchestune test` and `orchestune run` use it"]
