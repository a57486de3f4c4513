"""`export --all` and `import`: whole experiments, with logs and files, out of a server and into one."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from orchestune.archives import record
from orchestune.archives.archive_store import ArchiveStore
from orchestune.archives.copy_records import CopiedRecord, RecordSource, RecordTarget, copy
from orchestune.archives.summary import RecordSummary, contents
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_cluster, add_command
from orchestune.cli.terminal.prompts import attended, confirm
from orchestune.cli.terminal.render import one_line, size
from orchestune.cli.terminal.temporary_folder import room, scratch
from orchestune.client.api import Client
from orchestune.client.states import OVER
from orchestune.domain.words import plural
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, UsageError
from orchestune.files.open import open_files


def add(commands: Commands) -> None:
    """Add the command `import`."""
    parser = add_command(
        commands,
        "import",
        import_,
        details="What is here already stays as it is, unless what comes continues it. What another server wrote is"
        " shown, and imported after a yes. Nothing that is imported runs by itself.",
        example="orchestune import archive/\norchestune import s3://team/archive",
    )
    parser.add_argument("place", metavar="PLACE", help="a folder, or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--trust-unverified", action="store_true", help="import what another server wrote without a question"
    )
    add_cluster(parser, "where it goes (default: the default one)")


def import_(console: Console, args: argparse.Namespace) -> int:
    """Copy every record of the place to the server; OrchestuneError at the end, which names what could not be."""
    if "://" not in args.place and not os.path.isdir(os.path.expanduser(args.place)):
        raise NotFound(f"there is no folder {args.place}")
    shelf = ArchiveStore(open_files(args.place))
    left_out: list[str] = []
    records = shelf.records(lambda error: left_out.append(error.message))
    found = list(records)
    if not found and not left_out:
        raise NotFound(f"there is no experiment in {args.place}", "`orchestune export --all -o DIR` writes some")
    all_of_them = len(found) + len(left_out)
    trusted = _confirmed(console, shelf, found, ask=not args.trust_unverified)
    pairs = [(each.head.experiment, each.head.handle) for each in found]
    copy_all(console, shelf, ConfirmedTarget(console.client, trusted), pairs, left_out.append)
    if left_out:
        which = "\n".join(left_out)
        raise OrchestuneError(
            f"{len(left_out)} of {plural(all_of_them, 'experiment')} left out:\n{which}",
            "export those again, and repeat the command; what is here is not sent twice",
        )
    return 0


class ConfirmedTarget:
    """A server that imports records of other servers, those that the user has confirmed; fulfils `copying.Target`."""

    def __init__(self, client: Client, digests: Collection[str] | None = None) -> None:
        """`digests`: of the confirmed records; None if they all come from a server that the user has signed in to."""
        self._client, self._digests = client, digests

    def has_blob(self, digest: str, size: int) -> bool:
        return self._client.has_blob(digest, size)

    def put_blob(self, digest: str, path: Path) -> None:
        self._client.put_blob(digest, path)

    def put_record(self, path: Path) -> CopiedRecord:
        with path.open("rb") as file:
            digest = record.verify(file).digest  # of what is sent: what lies in the archive may have been exchanged
        is_confirmed = self._digests is None or digest in self._digests
        return self._client.put_record(path, digest if is_confirmed else "")


def _confirmed(console: Console, shelf: ArchiveStore, found: Sequence[record.VerifiedRecord], *, ask: bool) -> set[str]:
    """Return the digests of the records that the server did not write itself, once the user has confirmed them."""
    unverified = [each for each in found if not console.client.wrote_record(each.digest, each.signature)]
    if not unverified or not ask:
        return {each.digest for each in unverified}
    summaries = []
    with scratch("orchestune-") as folder, room():
        for each in unverified:
            path = folder / "record"
            shelf.fetch_record(each.head.experiment, path)
            with path.open("rb") as file:
                verified = record.verify(file)
                file.seek(0)
                summaries.append(contents(verified, file))
    console.note(f"unverified, since another server wrote {'it' if len(summaries) == 1 else 'them'}:")
    for summary in summaries:
        console.note("\n".join(map(one_line, _lines(summary))))
    many = plural(len(summaries), "unverified experiment")
    if not attended():
        raise UsageError(
            f"cannot ask whether to import {many}: no terminal", "look at them; then add --trust-unverified"
        )
    confirm(f"import {many}? Nothing of it runs by itself", "nothing was imported")
    return {summary["digest"] for summary in summaries}


def _lines(summary: RecordSummary) -> list[str]:
    trials = ", ".join(f"{count} {state}" for state, count in summary["trials"].items()) or "none"
    owner = f"owner {summary['owner']!r} as claimed"
    return [
        f"{summary['handle']}  {summary['name']!r}, {summary['state']}, {owner}, Orchestune {summary['written_by']}",
        f"  trials: {trials}; attempts: {summary['attempts']}; files: {summary['files']}, {size(summary['bytes'])}",
        *(f"  runs: {command}" for command in summary["commands"]),
        *(f"  image: {image}" for image in summary["images"]),
        *(f"  secret: {secret}" for secret in summary["secrets"]),
        *(f"  volume: {volume}" for volume in summary["volumes"]),
    ]


def export_all(console: Console, place: str) -> int:
    """Copy every experiment of the server that is over to the place."""
    shelf = ArchiveStore(open_files(place))
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
    source: RecordSource,
    target: RecordTarget,
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
                console.say(f"{handle}  {state}{renamed}, {plural(found['counts'].get('trial', 0), 'trial')}")
    if console.json:
        console.document(placed)
