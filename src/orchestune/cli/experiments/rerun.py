"""`rerun`: repeat one trial exactly, or go on with it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestune.cli.experiments.start import add_detach_option, start
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command, add_experiment
from orchestune.cli.terminal.prompts import attended, confirm
from orchestune.cli.terminal.render import one_line
from orchestune.client.local.launch_context import folder_key, owner, secret_values
from orchestune.domain.specification.experiment import IMPORTED, Specification
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
        details="A command after -- stands in the place of the trial's own, which `{run}` is: with --continue and more"
        " epochs it trains the best longer.",
        example="orchestune rerun sgd-7f3a/12\norchestune rerun sgd-7f3a/12 --continue -- {run} --epochs 80",
    )
    add_experiment(parser, trial="must")
    parser.add_argument(
        "--continue",
        action="store_true",
        dest="go_on",
        help="start from the trial's checkpoint, not from the beginning",
    )
    parser.add_argument(
        "--yes", "-y", action="store_true", help="send the secrets that an imported or another user's trial names"
    )
    add_detach_option(parser)
    parser.set_defaults(words=())


def rerun(console: Console, args: argparse.Namespace) -> int:
    """Start it with this shell's environment, and follow it like `run`."""
    ref, number = console.trial(args.exp)
    trial = console.client.trial(ref, number)
    origin = console.client.specification(ref, trial["revision"])
    launched = origin["launch"] or {}
    sources = [(item["name"], item["source"]) for item in origin["specification"].get("secrets") or ()]
    folder = Path(launched.get("root") or console.folder)
    links = launched.get("links") or ()
    if sources and not args.yes:
        _confirm_secrets(console, ref, number, sources)
    folder_here = folder_key(console.folder)
    body = {
        **({} if console.place.told_who else {"owner": owner(console.environ)}),
        **(named(console.place) if args.cluster else {}),
        "continue": bool(args.go_on),
        **({"run": _command(Specification.from_json(origin["specification"]), args.words)} if args.words else {}),
        "launch": launch(console.place, launched.get("root"), links, how_packed(launched), console.environ),
        "secrets": secret_values(sources, console.environ, folder),
        "folder": folder_here,
    }

    def heading(status: documents.Status) -> list[str]:
        what = "goes on with" if args.go_on else "repeats"
        other = ", by another command" if args.words else ""
        return [f"{console.paint.bold(status['handle'])} {what} {status['origin'] or f'{ref}/{number}'}{other}"]

    return start(console, lambda: console.client.rerun(ref, number, body), heading, folder_here, args.detach)


def _confirm_secrets(console: Console, ref: str, number: int, sources: Sequence[tuple[str, str]]) -> None:
    """Ask before values of this machine are sent to a command that another user wrote.

    A hosted server alone knows its caller's name, so there only an imported experiment is known to be another's.
    """
    status = console.client.experiment(ref)
    is_own = console.place.told_who or status["owner"] == owner(console.environ)
    if is_own and not status["owner"].endswith(IMPORTED):
        return
    which = ", ".join(f"{one_line(name)} ({one_line(source)})" for name, source in sources)
    trial = f"{status['handle']}/{number}, of {one_line(status['owner'])},"
    if not attended():
        text = f"cannot ask whether to send secrets: no terminal; {trial} reads {which} on this machine"
        raise UsageError(text, "look at its command (`orchestune trials`), then add --yes")
    confirm(f"{trial} reads {which} on this machine. Send them to its command?", "nothing was started")


def _command(specification: Specification, words: Sequence[str]) -> str | tuple[str, ...]:
    """What is run in the place of the trial's own command, which `{run}` among the words is."""
    from orchestune.config.sources.command_line import command  # with ruamel.yaml, which is slow to import

    run = specification.run
    own = split(run) if isinstance(run, str) else run
    if "{run}" in words and own is None:
        raise UsageError("{run} is a command of the shell, to which no words can be added", "write it whole after --")
    made = command([part for word in words for part in (own or () if word == "{run}" else (word,))])
    names = [parameter.name for parameter in specification.space.parameters]
    try:
        render(made, {}, names, "config" if specification.config else "")
    except ValueError as exc:
        raise UsageError(f"the command: {exc}") from exc
    return made
