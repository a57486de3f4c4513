"""`rerun`: repeat one trial exactly, or continue it from its checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestune.cli.experiments.authorship import add_yes_option, confirm_reads, folder_of, inherited_variables
from orchestune.cli.experiments.start import add_detach_option, start
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.client.local.experiment_index import inputs_digest
from orchestune.client.local.launch_context import folder_key, owner, secret_values
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import UsageError
from orchestune.sdk.submitting import how_packed, launch, named
from orchestune.worker.command import render, split

if TYPE_CHECKING:
    from orchestune import documents


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "rerun",
        rerun,
        details="A command after -- replaces the trial's own, which `{run}` expands to: with --continue and more epochs"
        " it trains the best trial longer.",
        example="orchestune rerun sgd-7f3a/12\norchestune rerun sgd-7f3a/12 --continue -- {run} --epochs 80",
    )
    add_experiment(parser, trial="must")
    parser.add_argument(
        "--continue",
        action="store_true",
        dest="go_on",
        help="start from the trial's checkpoint instead of from scratch",
    )
    add_yes_option(parser)
    add_detach_option(parser)
    parser.set_defaults(words=())


def rerun(console: Console, args: argparse.Namespace) -> int:
    """Start the trial with this shell's environment, and follow it like `run`."""
    ref, number = console.trial(args.exp)
    trial = console.client.trial(ref, number)
    origin = console.client.specification(ref, trial["revision"])
    launch_context = origin["launch"] or {}
    sources = [(secret["name"], secret["source"]) for secret in origin["specification"].get("secrets") or ()]
    links = launch_context.get("links") or ()
    folder_id, folder = folder_key(console.folder), console.folder
    status = console.client.experiment(ref)
    if sources or links:
        folder = folder_of(console, status, origin) or folder
        if not args.yes:
            root = Path(launch_context["root"]) if launch_context.get("root") else None
            confirm_reads(console, status, origin, f"{status['handle']}/{number}", folder, root, links)
    project_root, code = launch_context.get("root"), how_packed(launch_context)
    launched = launch(console.place, project_root, links, code, console.environ)
    body: dict[str, Any] = {
        **({} if console.place.sends_caller_name else {"owner": owner(console.environ)}),
        **(named(console.place) if args.cluster else {}),
        "continue": bool(args.go_on),
        **({"run": _command(Specification.from_json(origin["specification"]), args.words)} if args.words else {}),
        "launch": launched,
        "secrets": secret_values(sources, console.environ, folder),
        "folder": folder_id,
    }
    if variables := inherited_variables(console, status, origin):
        body["environment"] = variables

    inputs = inputs_digest(origin["specification"], launched)

    def heading(status: documents.Status) -> list[str]:
        verb = "continues" if args.go_on else "repeats"
        suffix = " with another command" if args.words else ""
        return [f"{console.paint.bold(status['handle'])} {verb} {status['origin'] or f'{ref}/{number}'}{suffix}"]

    return start(console, lambda: console.client.rerun(ref, number, body), heading, folder_id, inputs, args.detach)


def _command(specification: Specification, words: Sequence[str]) -> str | tuple[str, ...]:
    """Return the command that replaces the trial's own; `{run}` among the words stands for the latter."""
    from orchestune.config.sources.command_line import command  # imports ruamel.yaml, which is slow

    run = specification.run
    trial_words = split(run) if isinstance(run, str) else run
    if "{run}" in words and trial_words is None:
        raise UsageError("cannot add words to '{run}': it is a shell command line", "write the whole command after --")
    command_words = command([part for word in words for part in (trial_words or () if word == "{run}" else (word,))])
    names = [parameter.name for parameter in specification.space.parameters]
    try:
        render(command_words, {}, names, "config" if specification.config else "")
    except ValueError as exc:
        raise UsageError(f"command: {exc}") from exc
    return command_words
