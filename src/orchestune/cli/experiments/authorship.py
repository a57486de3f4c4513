"""Experiments that another user may have created: their authors do not choose what is read on this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import confirm, is_interactive
from orchestune.cli.terminal.render import one_line
from orchestune.client.local.experiment_index import inputs_digest
from orchestune.domain.specification.experiment import IMPORTED
from orchestune.errors import UsageError
from orchestune.sdk.submitting import how_packed, inherited

if TYPE_CHECKING:
    from orchestune import documents


def add_yes_option(parser: argparse.ArgumentParser) -> None:
    """Add `--yes`, which skips the question of `confirm_reads`."""
    parser.add_argument(
        "--yes",
        "-y",
        action="store_true",
        help="send secrets without asking to a trial imported or created by another user",
    )


def is_own(console: Console, status: documents.Status, document: documents.Specification) -> bool:
    """Return True if this user is known to have created the experiment with this specification.

    The embedded server has proof of it, or it was started from this state folder. Another server's word does not count,
    since its operator would choose what is read here: its answer must be what it was given. A name alone is a claim.
    """
    if status["owner"].endswith(IMPORTED):
        return False
    started = console.started_here(status)
    if console.place.embedded:
        return document.get("owned_by_caller", False) or started is not None
    return started is not None and started.inputs_digest == inputs_digest(
        document["specification"], document["launch"] or {}
    )


def folder_of(console: Console, status: documents.Status, document: documents.Specification) -> Path | None:
    """Return the folder on this machine in which the experiment was started; None if unknown.

    Only the embedded server is believed; for others the folder is the one stored at the start.
    """
    if console.place.embedded:
        launch = document["launch"] or {}
        root = launch.get("root")
        return Path(root) / how_packed(launch).folder if root else None
    started = console.started_here(status)
    return started.path if started is not None else None


def inherited_variables(
    console: Console, status: documents.Status, document: documents.Specification
) -> dict[str, str]:
    """Return the variables of this shell that trials of an own experiment inherit; one of another user gets none."""
    if not is_own(console, status, document):
        return {}
    return inherited(console.place, document["specification"].get("inherit_env", True), console.environ)


def confirm_reads(
    console: Console,
    status: documents.Status,
    document: documents.Specification,
    trial: str,
    folder: Path,
    root: Path | None = None,
    links: Sequence[str] = (),
) -> None:
    """Ask before files and secrets of this machine are given to a command that another user may have written.

    Does not ask if the experiment is this user's own, or reads nothing. `trial` names the trial in the question. Paths
    of secrets are relative to `folder`, and `links` that trials on this machine get to `root`. Raises UsageError
    without a terminal, Declined if the user refuses.
    """
    secrets = document["specification"].get("secrets") or ()
    files = [os.path.join(root or folder, link) for link in links] if console.place.embedded else []
    reads = [f"{secret['name']} ({_resolved(secret['source'], folder)})" for secret in secrets]
    if not (reads or files) or is_own(console, status, document):
        return
    text = ", ".join(map(one_line, (*reads, *files)))  # all of them: the author could hide one behind many others
    trial = f"{trial}, of {one_line(status['owner'])},"
    if not is_interactive():
        message = f"cannot ask whether to send secrets: no terminal; {trial} reads {text} on this machine"
        raise UsageError(message, "check its command with `orchestune trials`, then add --yes")
    confirm(f"{trial} reads {text} on this machine. Send them to its command?", "nothing was started")


def _resolved(source: str, folder: Path) -> str:
    kind, _, path = source.partition(":")
    return f"file:{os.path.realpath(folder / os.path.expanduser(path))}" if kind == "file" else source
