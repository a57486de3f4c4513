"""`export --all` and `import`: copy whole experiments, with logs and files, out of a server and into one."""

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
from orchestune.cli.terminal.prompts import confirm, is_interactive
from orchestune.cli.terminal.render import one_line, size
from orchestune.cli.terminal.temporary_folder import temporary_folder, translated_disk_errors
from orchestune.client.api import Client
from orchestune.client.states import FINAL_STATES
from orchestune.domain.words import plural
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, UsageError
from orchestune.files.open import open_files


def add(commands: Commands) -> None:
    """Register the command `import`."""
    parser = add_command(
        commands,
        "import",
        import_,
        details="Existing experiments are kept, unless the record continues them. Records of other servers are shown,"
        " and imported after confirmation. Imported experiments are never started.",
        example="orchestune import archive/\norchestune import s3://team/archive",
    )
    parser.add_argument("place", metavar="PLACE", help="folder, or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--trust-unverified", action="store_true", help="import records of other servers without confirmation"
    )
    add_cluster(parser, "cluster to import into (default: the default cluster)")


def import_(console: Console, args: argparse.Namespace) -> int:
    """Copy every record of the archive to the server; raise OrchestuneError at the end if some failed, naming them."""
    if "://" not in args.place and not os.path.isdir(os.path.expanduser(args.place)):
        raise NotFound(f"no such folder: '{args.place}'")
    archive = ArchiveStore(open_files(args.place))
    left_out: list[str] = []
    records = archive.records(lambda error: left_out.append(error.message))
    record_list = list(records)
    if not record_list and not left_out:
        raise NotFound(f"no experiments in '{args.place}'", "`orchestune export --all -o DIR` writes some")
    total = len(record_list) + len(left_out)
    confirmed = _confirmed(console, archive, record_list, ask=not args.trust_unverified)
    pairs = [(one.head.experiment, one.head.handle) for one in record_list]
    copy_all(console, archive, ConfirmedTarget(console.client, confirmed), pairs, left_out.append)
    if left_out:
        failures = "\n".join(left_out)
        raise OrchestuneError(
            f"{len(left_out)} of {plural(total, 'experiment')} left out:\n{failures}",
            "export those again and repeat the command; imported experiments are not sent twice",
        )
    return 0


class ConfirmedTarget:
    """A server that only imports records of other servers that the user has confirmed; implements `RecordTarget`."""

    def __init__(self, client: Client, digests: Collection[str] | None = None) -> None:
        """`digests`: of the confirmed records; None if they all come from a server that the user has signed in to."""
        self._client, self._digests = client, digests

    def has_blob(self, digest: str, size: int) -> bool:
        return self._client.has_blob(digest, size)

    def put_blob(self, digest: str, path: Path) -> None:
        self._client.put_blob(digest, path)

    def put_record(self, path: Path) -> CopiedRecord:
        with path.open("rb") as file:
            digest = record.verify(file).digest  # of the bytes to be sent: the archive may have changed
        is_confirmed = self._digests is None or digest in self._digests
        return self._client.put_record(path, digest if is_confirmed else "")


def _confirmed(
    console: Console, archive: ArchiveStore, records: Sequence[record.VerifiedRecord], *, ask: bool
) -> set[str]:
    """Return the digests of records that another server wrote, once the user has confirmed them."""
    unverified = [one for one in records if not console.client.wrote_record(one.digest, one.signature)]
    if not unverified or not ask:
        return {one.digest for one in unverified}
    summaries = []
    with temporary_folder("orchestune-") as folder, translated_disk_errors():
        for one in unverified:
            path = folder / "record"
            archive.fetch_record(one.head.experiment, path)
            with path.open("rb") as file:
                verified = record.verify(file)
                file.seek(0)
                summaries.append(contents(verified, file))
    console.note("unverified, written by another server:")
    for summary in summaries:
        console.note("\n".join(map(one_line, _lines(summary))))
    amount = plural(len(summaries), "unverified experiment")
    if not is_interactive():
        raise UsageError(
            f"cannot ask whether to import {amount}: no terminal", "check them, then add --trust-unverified"
        )
    confirm(f"Import {amount}? Imported experiments are not started.", "nothing was imported")
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
        *(f"  reads: {link}" for link in summary["links"]),
    ]


def export_all(console: Console, place: str) -> int:
    """Copy every ended experiment of the server to `place`."""
    archive = ArchiveStore(open_files(place))
    statuses = console.client.experiments(limit=None, hidden=True)
    over = [status for status in statuses if status["state"] in FINAL_STATES]
    if not statuses:
        raise NotFound("no experiments to export")
    copy_all(console, console.client, archive, [(status["id"], status["handle"]) for status in over])
    running = [status["handle"] for status in statuses if status["state"] not in FINAL_STATES]
    if running:
        console.note(f"not exported, because they have not ended: {', '.join(running)}")
    return 0


def copy_all(
    console: Console,
    source: RecordSource,
    target: RecordTarget,
    experiments: Sequence[tuple[str, str]],
    leave_out: Callable[[str], None] | None = None,
) -> None:
    """Copy each (id, handle), printing progress.

    With `leave_out`, a failed copy does not stop the others: it is called with the handle and the error. A temporary
    error or a denied request still stops at once.
    """
    copies = []
    with temporary_folder("orchestune-") as folder:
        for experiment, handle in experiments:
            with translated_disk_errors():
                try:
                    copy_result = copy(source, target, experiment, folder, console.note)
                except (TemporaryError, Denied):
                    raise
                except OrchestuneError as error:
                    if leave_out is None:
                        raise
                    leave_out(f"{handle}: {error.message}" + (f"; {error.hint}" if error.hint else ""))
                    continue
            copies.append({**copy_result, "was": handle})
            if not console.json:
                renamed = f" as {copy_result['handle']}" if copy_result["handle"] != handle else ""
                state = "copied" if copy_result["imported"] else "already exists"
                console.say(f"{handle}  {state}{renamed}, {plural(copy_result['counts'].get('trial', 0), 'trial')}")
    if console.json:
        console.document(copies)
