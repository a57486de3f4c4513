"""Creates experiments from Python on their server."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.client.address import ServerPlace, place
from orchestune.client.api import Client
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment, inputs_digest
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key, secret_values
from orchestune.client.states import FINAL_STATES
from orchestune.domain.specification.experiment import IMPORTED, Specification
from orchestune.errors import UsageError
from orchestune.sdk import submitting
from orchestune.sdk.plain_values import read_keys
from orchestune.sdk.project_files import list_project, note_of_secrets
from orchestune.sdk.warm_start import gather
from orchestune.system.private import access_of_others

if TYPE_CHECKING:
    from orchestune import documents

BRIDGE = "orchestune.sdk.bridge"
"""module that is the command of trials which processes claim by themselves"""
_BRIDGE_IMPORTS = ["multiprocessing.connection", "orchestune.sdk.parameters", "orchestune.sdk.reporting",
                   "orchestune.sdk.trial_end", "orchestune.system.local_socket", "runpy"]  # fmt: skip
"""modules that the bridge imports: a fork of a process that has them starts in a tenth of the time"""
_OFFERS = "offers"
"""folder in the state folder that contains a folder of offers for each experiment"""
_OFFER_FOLDER = re.compile(r"[0-9a-f]{32}")
_COMMAND_KEYS = ("checkpoint", "code", "collect", "config", "constants", "env", "keep", "preload", "secrets", "stdin")
"""keys that only apply to a command, not to a process that claims trials"""


def create(
    keys: Mapping[str, Any],
    folder: Path,
    cluster: str | None = None,
    *,
    started_in: Path | None = None,
    variables: Mapping[str, str] | None = None,
    change: Callable[[Specification], Specification] = lambda specification: specification,
) -> tuple[Client, documents.Status]:
    """Start an experiment with the code in `folder`; `started_in` is its folder for the user, if that is another one.

    `variables` are added to the environment of trials on this machine; `change` modifies the specification before it is
    sent. Returns the client of its server and its status. Raises the errors of `Experiment.create`.
    """
    server = place(os.environ, cluster)
    loaded = read_keys(keys, "experiment", "the keys of the experiment", folder / "experiment.yml")
    specification = change(loaded.specification)
    if not submitting.shares_files(server) and (loaded.build.install or loaded.build.dockerfile):
        raise UsageError("images cannot be built from Python", "name an image, or start it with `orchestune run`")
    secrets = secret_values([(secret.name, secret.source) for secret in specification.secrets], os.environ, folder)
    project = list_project(specification, loaded.project.path, loaded.code)
    if project.unpackable is not None and (started_in or not submitting.shares_files(server)):
        raise project.unpackable
    if project.secrets:
        warnings.warn(note_of_secrets(project.secrets), stacklevel=3)
    home = started_in or folder
    root = home if started_in else project.root
    launched = submitting.launch(server, root, project.links, project.code)
    if variables and "env" in launched:
        launched["env"] = {**launched["env"], **variables}
    with connected(server) as client:
        warm_start = gather(lambda: client, loaded.warm_start, specification)
        digest = submitting.upload(client, project.root, project.ignore, project.code)
        request = submitting.request(server, specification, digest, home, launched, secrets, warm=warm_start)
        status = client.create_experiment(request)
        _remember(server, status, home, inputs_digest(request["specification"], launched))
        return client, status


@contextmanager
def connected(server: ServerPlace) -> Iterator[Client]:
    """Yield a client of the server, which is closed if the block fails."""
    with ExitStack() as on_error:
        client = Client.connect(server.resolve)
        client.place = server
        on_error.callback(client.close)
        yield client
        on_error.pop_all()


def create_open(keys: Mapping[str, Any], cluster: str | None) -> tuple[Client, documents.Status]:
    """Start an experiment whose trials are offered to processes of this machine. Raises the errors of `create`."""
    if cluster not in (None, "local"):
        raise UsageError(
            f"trials that this process runs cannot run in {cluster}", "set `run` to the command to run there"
        )
    if unused := [key for key in _COMMAND_KEYS if key in keys]:
        text = f"{', '.join(unused)}: no effect on trials that this process runs"
        raise UsageError(text, "remove it and do that in the loop, or set `run` to the command of the trials")
    offers = state_folder() / _OFFERS / uuid.uuid4().hex  # created by the first trial, with the user's umask
    offers.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orchestune-open-") as folder:
        document = {
            "name": Path.cwd().name or "experiment",
            **keys,
            "run": [sys.executable, "-m", BRIDGE, str(offers)],
            "preload": _BRIDGE_IMPORTS,
        }
        variables = {"PYTHONPATH": importable(sys.path)}
        return create(
            document, Path(folder), "local", started_in=Path.cwd(), variables=variables, change=_with_bridge_timeout
        )


def is_offer_folder(folder: Path) -> bool:
    """Return True if `create_open` of this user could have chosen the folder of offers."""
    offers = state_folder() / _OFFERS
    is_in_offers = os.path.realpath(folder.parent) == os.path.realpath(offers)
    return is_in_offers and _OFFER_FOLDER.fullmatch(folder.name) is not None


def _with_bridge_timeout(specification: Specification) -> Specification:
    """Move the timeout to the bridge, which knows since when a process has the trial."""
    run, timeout = specification.run, specification.timeout
    assert not isinstance(run, str)
    return specification if timeout is None else replace(specification, run=(*run, str(timeout)), timeout=None)


def inherited_again(client: Client, experiment: str) -> dict[str, str]:
    """Return the variables of this process for an experiment that was started here and is over.

    Its end has deleted those of its start, which trials inherit.
    """
    server = client.place
    if server is None or not server.embedded:
        return {}  # another server chooses its answers, the id among them, and would get the variables
    if ExperimentIndex(state_folder()).started(experiment, server.name) is None:
        return {}
    status = client.experiment(experiment)
    if status["state"] not in FINAL_STATES or status["owner"].endswith(IMPORTED):
        return {}
    specification = client.specification(experiment)["specification"]
    return submitting.inherited(server, specification.get("inherit_env", True))


def _remember(server: ServerPlace, status: documents.Status, folder: Path, inputs: str) -> None:
    if server.cluster is not None:
        started = StartedExperiment(status["handle"], status["id"], server.cluster.name, folder_key(folder), inputs)
        ExperimentIndex(state_folder()).add(started)


def module_path(path: Sequence[str]) -> list[str]:
    """Return the module path for another process: absolute, existing folders only."""
    return list(dict.fromkeys(os.path.abspath(entry or ".") for entry in path if os.path.exists(entry or ".")))


def importable(path: Sequence[str]) -> str:
    """Return the PYTHONPATH of a process with this module path, without folders that other users can write to.

    Python imports `sitecustomize` from the first folder that has one, even from /tmp.
    """
    return os.pathsep.join(entry for entry in module_path(path) if not access_of_others(Path(entry)))
