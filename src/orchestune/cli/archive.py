"""`export --all` and `import`: whole experiments, with logs and files, out of a server and into one."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestune.archives.copying import Source, Target, copy
from orchestune.archives.shelf import Shelf
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_cluster, add_command
from orchestune.client.states import OVER
from orchestune.domain.words import plural
from orchestune.errors import NotFound
from orchestune.files.open import open_files


def add(commands: Commands) -> None:
    """Add the command `import`."""
    parser = add_command(
        commands,
        "import",
        import_,
        details="What is here already stays as it is, unless what comes is newer.",
        example="orchestune import archive/\norchestune import s3://team/archive",
    )
    parser.add_argument("place", metavar="PLACE", help="a folder, or s3://BUCKET/PREFIX")
    add_cluster(parser, "where it goes (default: the default one)")


def import_(console: Console, args: argparse.Namespace) -> int:
    """Copy every record of the place to the server."""
    if "://" not in args.place and not Path(args.place).is_dir():
        raise NotFound(f"there is no folder {args.place}")
    shelf = Shelf(open_files(args.place))
    found = [(record.head.experiment, record.head.handle) for record in shelf.records()]
    if not found:
        raise NotFound(f"there is no experiment in {args.place}", "`orchestune export --all -o DIR` writes some")
    copy_all(console, shelf, console.client, found)
    return 0


def export_all(console: Console, place: str) -> int:
    """Copy every experiment of the server that is over to the place."""
    shelf = Shelf(open_files(place))
    statuses = console.client.experiments(limit=None, hidden=True)
    over = [status for status in statuses if status["state"] in OVER]
    if not statuses:
        raise NotFound("there is no experiment to export")
    copy_all(console, console.client, shelf, [(status["id"], status["handle"]) for status in over])
    running = [status["handle"] for status in statuses if status["state"] not in OVER]
    if running:
        console.note(f"left out, since they are not over: {', '.join(running)}")
    return 0


def copy_all(console: Console, source: Source, target: Target, experiments: Sequence[tuple[str, str]]) -> None:
    """Copy each (id, handle), saying how far it is."""
    placed = []
    with tempfile.TemporaryDirectory(prefix="orchestune-") as scratch:
        for experiment, handle in experiments:
            found = copy(source, target, experiment, Path(scratch), console.note)
            placed.append({**found, "was": handle})
            if not console.json:
                renamed = f" as {found['handle']}" if found["handle"] != handle else ""
                state = "copied" if found["imported"] else "was there already"
                console.say(f"{handle}  {state}{renamed}, {plural(found['rows'].get('trials', 0), 'trial')}")
    if console.json:
        console.document(placed)
