"""What goes to a server when an experiment is started: its code, and the request itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from orchestune.cli import destination
from orchestune.cli.console import Console
from orchestune.cli.preparing import Prepared
from orchestune.client.documents import Status
from orchestune.client.launch import folder_key, owner
from orchestune.domain.experiment import Specification
from orchestune.errors import UsageError


def create(
    console: Console, prepared: Prepared, specification: Specification, digest: str, secrets: dict[str, str]
) -> Status:
    """Start the experiment: `specification`, which may differ from the file's; `digest` is its code's."""
    body = {
        "specification": specification.to_json(),
        "bundle": digest,
        **destination.named(console.place),
        "folder": folder_key(prepared.folder),
        **_owner(console),
        "launch": destination.launch(console, console.place, prepared.folder, prepared.links),
        "secrets": secrets,
    }
    try:
        return console.client.create_experiment(body)
    except UsageError as exc:
        if destination.in_images(console.place) and specification.placement.image is None and "image" in exc.message:
            raise UsageError(exc.message, destination.propose(prepared.folder)) from exc
        raise


def upload(console: Console, prepared: Prepared) -> str:
    """Pack the code and send it, unless the server has it; its digest."""
    from orchestune.bundles.pack import pack  # pathspec is slow to import, and only needed here

    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        bundle = pack(prepared.folder, prepared.ignore, prepared.limit, Path(scratch))
        console.client.upload_bundle(bundle.digest, bundle.path)
    return bundle.digest


def _owner(console: Console) -> dict[str, str]:
    """A cluster knows its users by their own names, which travel with each request."""
    known = console.place.cluster is not None and console.place.cluster.user
    return {} if known else {"owner": owner(console.environ)}
