"""`cluster disconnect` and `cluster destroy`: forget a cluster here, or take away all that we put into it."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.archive import Archive, copy_over
from orchestune.cli.clusters.cloud import add_cloud, made_there
from orchestune.cli.clusters.final_copy import forget, save
from orchestune.cli.clusters.shared import add_name, add_place, api, known, meant, repeatable
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.prompts import confirm
from orchestune.clusters.existing import permissions, provisioner
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.providers import NAMES as PROVIDERS
from orchestune.errors import Conflict, Unreachable, UsageError

_TO = "where records and files go: a cluster, a folder or s3://BUCKET/PREFIX (default: local, this machine's server)"


def add(inner: Commands) -> None:
    """Add the commands."""
    parser = add_command(
        inner,
        "disconnect",
        disconnect,
        help="forget a cluster here; nothing in it changes",
        details="With --archive what is finished there is copied first.",
        example="orchestune cluster disconnect -n lab\norchestune cluster disconnect -n lab --archive",
    )
    add_name(parser)
    parser.add_argument("--archive", action="store_true", help="copy records and files of finished experiments first")
    parser.add_argument("--to", metavar="PLACE", help=_TO)
    parser = add_command(
        inner,
        "destroy",
        destroy,
        help="copy records and files, then remove all that we put into a cluster, or the cluster that we made",
        details="Copies are checked before anything is removed. Interrupted anywhere, the same command completes it.",
        example="orchestune cluster destroy -n lab\norchestune cluster destroy -n lab --stop --to s3://team/lab",
    )
    add_name(parser)
    add_place(parser)
    add_cloud(parser)
    parser.add_argument("--keep-registry", action="store_true", help="leave the images of a cluster that we made")
    parser.add_argument("--to", metavar="PLACE", help=_TO)
    parser.add_argument("--stop", action="store_true", help="stop what runs there")
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="go on without a copy where the server, or the cluster, cannot be reached",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")


def disconnect(console: Console, args: argparse.Namespace) -> int:
    """Forget it. What was forgotten already is no mistake."""
    clusters = known(console)
    if args.to and not args.archive:
        raise UsageError("--to says where a copy goes", "say --archive as well")
    if clusters.find(args.name) is None:
        return _disconnected(console, args.name, f"{args.name} is not connected", forgotten=False)
    if args.archive:
        with Archive(console, args.name, args.to) as archive:
            left = copy_over(console, archive)
        if left:
            raise Conflict(f"not over, and so not copied: {', '.join(left)}", "stop them, or leave out --archive")
    clusters.remove(args.name)
    return _disconnected(console, args.name, f"{args.name} is forgotten here; nothing changed there", forgotten=True)


def _disconnected(console: Console, name: str, said: str, *, forgotten: bool) -> int:
    if console.json:
        console.document({"name": name, "forgotten": forgotten})
    else:
        console.note(said)
    return 0


def destroy(console: Console, args: argparse.Namespace) -> int:
    """Copy, check, mark, remove, forget: each step leaves what the next run needs to go on."""
    made = made_there(console, args)
    if made is not None:
        from orchestune.cli.clusters import remove  # the provider's library takes its time

        return remove.destroy(console, args, made)
    try:
        cluster = meant(console, args)
    except UsageError as exc:
        if known(console).find(args.name) is not None:
            raise
        clouds = " or ".join(f"--cloud {provider}" for provider in PROVIDERS)
        raise UsageError(
            f"no cluster '{args.name}' is connected here, and {exc.message}",
            f"{clouds} looks for one that was made there, --kubeconfig for one that was connected",
        ) from exc
    try:
        cluster_api = api(cluster)
        found = provisioner.present(cluster_api, cluster.namespace)
    except Unreachable as exc:
        if not args.abandon:
            exc.hint += "; --abandon forgets the cluster without looking at it"
            raise
        forget(console, cluster)
        console.note(f"{exc}; forgotten here, and left there as it is")
        if console.json:
            console.document({"name": args.name, "removed": []})
        return 0
    connection = found.connection if found else ConnectionSettings(args.name, cluster.namespace)
    if connection.name != args.name:
        raise UsageError(f"the namespace {cluster.namespace} has the server of the cluster '{connection.name}'")
    provisioner.check_rights(cluster_api, permissions.to_destroy(connection), f"remove what is in {cluster.namespace}")
    if not args.yes:
        confirm(
            f"Remove the server of '{args.name}' and its data from the namespace {cluster.namespace}?"
            f" Records and files go to {args.to or 'this machine'} first.",
            "nothing was changed",
        )
    with repeatable(console):
        if found is not None:
            save(console, cluster_api, cluster, found, args)
        gone = provisioner.remove(cluster_api, connection, console.note)
    forget(console, cluster)
    said = "destroyed" if gone else "there was nothing left to remove"
    return console.result({"name": args.name, "removed": gone}, f"{args.name}: {said}")
