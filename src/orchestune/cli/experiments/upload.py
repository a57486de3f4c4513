"""Requests that start an experiment: the upload of its code, and its creation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestune.cli.experiments import destination
from orchestune.cli.experiments.prepare import PreparedExperiment, located
from orchestune.cli.terminal.console import Console
from orchestune.client.local.launch_context import in_utf8
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import UsageError
from orchestune.sdk import submitting

if TYPE_CHECKING:
    from orchestune import documents


def create(
    console: Console,
    prepared: PreparedExperiment,
    specification: Specification,
    digest: str,
    secrets: dict[str, str],
    first: Mapping[str, Any] | None = None,
) -> documents.Status:
    """Create the experiment from `specification`, which may differ from the file's; `digest` is that of its code.

    `first`: parameters and seed of its first trial.
    """
    body = submitting.request(console.place, specification, digest, prepared.folder, launched(console, prepared),
                              secrets, console.environ, prepared.warm_start)  # fmt: skip
    body |= {"first": first} if first else {}
    try:
        with located(prepared):
            return console.client.create_experiment(body)
    except UsageError as exc:
        if destination.in_images(console.place) and specification.placement.image is None and "image" in exc.message:
            raise UsageError(exc.message, destination.propose(prepared.folder)) from exc
        raise


def launched(console: Console, prepared: PreparedExperiment) -> dict[str, Any]:
    """Build the launch context: the environment and links that trials get, and the folder.

    Raises UsageError if the folder's name is not UTF-8.
    """
    project = prepared.project
    context = submitting.launch(console.place, project.root, project.links, project.code, console.environ)
    folder_name = in_utf8(project.root)
    if context.get("root") not in (None, folder_name):
        raise UsageError(f"the folder's name is not valid UTF-8: '{folder_name}'", "rename the folder")
    return context


def upload(console: Console, prepared: PreparedExperiment) -> str:
    """Pack the code and upload it unless the server has it; return its digest."""
    project = prepared.project
    destination.need_files(console.place, project)
    return submitting.upload(console.client, project.root, project.ignore, project.code)
