"""How an experiment gets from Python to its server."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.client.address import ServerPlace, place
from orchestune.client.api import Client
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key, secret_values
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import UsageError
from orchestune.sdk import submitting
from orchestune.sdk.plain_values import read_keys
from orchestune.sdk.project_files import note_of_secrets, taken
from orchestune.sdk.warm_start import gathered
from orchestune.system.private import access_of_others

if TYPE_CHECKING:
    from orchestune import documents

BRIDGE = "orchestune.sdk.bridge"
"""the module that stands for the command of trials which a process takes by itself"""
_OF_A_COMMAND = ("checkpoint", "code", "collect", "config", "env", "keep", "preload", "secrets", "stdin")
"""keys that say what a command gets and leaves, of which a process that takes trials by itself sees nothing"""


def create(
    keys: Mapping[str, Any],
    folder: Path,
    cluster: str | None = None,
    *,
    started_in: Path | None = None,
    variables: Mapping[str, str] | None = None,
    change: Callable[[Specification], Specification] = lambda specification: specification,
) -> tuple[Client, documents.Status]:
    """Start an experiment of the code in `folder`, which is known by `started_in` where that is another one.

    `variables` go to trials of this machine beside those of this process; `change` makes of what the keys say what is
    sent. Returns the client of its server, and the status there. Raises what `Experiment.create` does.
    """
    chosen = place(os.environ, cluster)
    loaded = read_keys(keys, "experiment", "the keys of the experiment", folder / "experiment.yml")
    specification = change(loaded.specification)
    if not submitting.shares_files(chosen) and (loaded.build.install or loaded.build.dockerfile):
        raise UsageError("images are not built from Python", "name an image, or start it with `orchestune run`")
    secrets = secret_values([(secret.name, secret.source) for secret in specification.secrets], os.environ, folder)
    found = taken(specification, folder, loaded.code)
    if found.secrets:
        warnings.warn(note_of_secrets(found.secrets), stacklevel=3)
    home = started_in or folder
    launched = submitting.launch(chosen, home, found.links, loaded.code)
    if variables and "env" in launched:
        launched["env"] = {**launched["env"], **variables}
    with connected(chosen) as client:
        warm = gathered(lambda: client, loaded.warm_start, specification)
        digest = submitting.upload(client, folder, found.ignore, loaded.code)
        request = submitting.request(chosen, specification, digest, home, launched, secrets, warm=warm)
        status = client.create_experiment(request)
        _remember(chosen, status, home)
        return client, status


@contextmanager
def connected(chosen: ServerPlace) -> Iterator[Client]:
    """A client of the server there, closed where the block fails."""
    client = Client.connect(chosen.resolve)
    try:
        yield client
    except BaseException:
        client.close()
        raise


def create_open(keys: Mapping[str, Any], cluster: str | None) -> tuple[Client, documents.Status]:
    """Start an experiment whose trials are on offer to processes of this machine. Raises what `create` does."""
    if cluster not in (None, "local"):
        raise UsageError(f"trials that this process runs are not run in {cluster}", "say with `run` what runs there")
    if idle := [key for key in _OF_A_COMMAND if key in keys]:
        text = f"{', '.join(idle)}: of no effect on trials that this process runs"
        raise UsageError(text, "leave it out and do that in the loop, or say with `run` what runs the trials")
    offers = state_folder() / "offers" / uuid.uuid4().hex  # made by the first trial, whose umask is the user's
    offers.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orchestune-open-") as folder:
        document = {
            "name": Path.cwd().name or "experiment",
            **keys,
            "run": [sys.executable, "-m", BRIDGE, str(offers)],
        }
        variables = {"PYTHONPATH": importable(sys.path)}
        return create(document, Path(folder), "local", started_in=Path.cwd(), variables=variables, change=_timed)


def _timed(specification: Specification) -> Specification:
    """With the timeout in the hands of the bridge, which knows since when a process has the trial."""
    run, longest = specification.run, specification.timeout
    assert not isinstance(run, str)
    return specification if longest is None else replace(specification, run=(*run, str(longest)), timeout=None)


def _remember(chosen: ServerPlace, status: documents.Status, folder: Path) -> None:
    if chosen.cluster is not None:
        started = StartedExperiment(status["handle"], status["id"], chosen.cluster.name, folder_key(folder))
        ExperimentIndex(state_folder()).add(started)


def module_path(path: Sequence[str]) -> list[str]:
    """This process's module path for another one: absolute, without what does not exist."""
    return list(dict.fromkeys(os.path.abspath(entry or ".") for entry in path if os.path.exists(entry or ".")))


def importable(path: Sequence[str]) -> str:
    """The value of PYTHONPATH for a process with this module path, without folders that other users can write to:
    Python imports `sitecustomize` at its start from the first folder with one, also from such as /tmp.
    """
    return os.pathsep.join(entry for entry in module_path(path) if not access_of_others(Path(entry)))
