"""What goes to a server when an experiment is started: its code, and the request itself."""

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
    """Start the experiment: `specification`, which may differ from the file's; `digest` is its code's.

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
    """What trials get of this shell and of the folder, and where that is. UsageError where it cannot be told."""
    found = submitting.launch(console.place, prepared.folder, prepared.links, prepared.code, console.environ)
    spelled = in_utf8(prepared.folder)
    if found.get("root") not in (None, spelled):
        raise UsageError(f"the name of the folder {spelled} is no UTF-8, and cannot be told to a server", "rename it")
    return found


def upload(console: Console, prepared: PreparedExperiment) -> str:
    """Pack the code and send it, unless the server has it; its digest."""
    return submitting.upload(console.client, prepared.folder, prepared.ignore, prepared.code)
