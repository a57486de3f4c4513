"""`export --all` and `import`: whole experiments, with logs and files, out of a server and into one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

from orchestune.archives.copying import Source, Target, copy
from orchestune.archives.shelf import Shelf
from orchestune.cli.console import Console
from orchestune.cli.parser import Commands, add_cluster, add_command
from orchestune.cli.scratch import room, scratch
from orchestune.client.states import OVER
from orchestune.domain.words import plural
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError
from orchestune.files.open import open_files


def add(commands: Commands) -> None:
    """Add the command `import`."""
    parser = add_command(
        commands,
        "import",
        import_,
        details="What is here already stays as it is, unless what comes continues it.",
        example="orchestune import archive/\norchestune import s3://team/archive",
    )
    parser.add_argument("place", metavar="PLACE", help="a folder, or s3://BUCKET/PREFIX")
    add_cluster(parser, "where it goes (default: the default one)")


def import_(console: Console, args: argparse.Namespace) -> int:
    """Copy every record of the place to the server; OrchestuneError at the end, which names what could not be."""
    if "://" not in args.place and not os.path.isdir(os.path.expanduser(args.place)):
        raise NotFound(f"there is no folder {args.place}")
    shelf = Shelf(open_files(args.place))
    left_out: list[str] = []
    records = shelf.records(lambda error: left_out.append(error.message))
    found = [(record.head.experiment, record.head.handle) for record in records]
    if not found and not left_out:
        raise NotFound(f"there is no experiment in {args.place}", "`orchestune export --all -o DIR` writes some")
    all_of_them = len(found) + len(left_out)
    copy_all(console, shelf, console.client, found, left_out.append)
    if left_out:
        which = "\n".join(left_out)
        raise OrchestuneError(
            f"{len(left_out)} of {plural(all_of_them, 'experiment')} left out:\n{which}",
            "export those again, and repeat the command; what is here is not sent twice",
        )
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


def copy_all(
    console: Console,
    source: Source,
    target: Target,
    experiments: Sequence[tuple[str, str]],
    leave_out: Callable[[str], None] | None = None,
) -> None:
    """Copy each (id, handle), saying how far it is.

    With `leave_out` one that cannot be copied holds up no other: that is told why, with its handle. Where the same may
    work later, or the server refuses this user, nothing more is tried.
    """
    placed = []
    with scratch("orchestune-") as folder:
        for experiment, handle in experiments:
            with room():
                try:
                    found = copy(source, target, experiment, folder, console.note)
                except (TemporaryError, Denied):
                    raise
                except OrchestuneError as error:
                    if leave_out is None:
                        raise
                    leave_out(f"{handle}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
                    continue
            placed.append({**found, "was": handle})
            if not console.json:
                renamed = f" as {found['handle']}" if found["handle"] != handle else ""
                state = "copied" if found["imported"] else "was there already"
                console.say(f"{handle}  {state}{renamed}, {plural(found['rows'].get('trials', 0), 'trial')}")
    if console.json:
        console.document(placed)
