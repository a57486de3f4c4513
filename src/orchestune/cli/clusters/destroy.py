"""`cluster disconnect` and `cluster destroy`: forget a cluster on this machine, or remove everything from it."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.archive import Archive, copy_over
from orchestune.cli.clusters.cloud import add_cloud, made_there
from orchestune.cli.clusters.final_copy import forget, save
from orchestune.cli.clusters.shared import add_name, add_place, api, known_clusters, repeatable, selected_cluster
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing import permissions, provisioner
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.remaining import wait_until_gone
from orchestune.clusters.providers import NAMES as PROVIDERS
from orchestune.errors import Conflict, Unreachable, UsageError

_DESTINATION_HELP = (
    "destination of records and files: cluster, folder or s3://BUCKET/PREFIX (default: local, this machine's server)"
)


def add(inner: Commands) -> None:
    """Register the commands."""
    parser = add_command(
        inner,
        "disconnect",
        disconnect,
        help="forget a cluster on this machine without changing it",
        details="--archive copies its ended experiments first.",
        example="orchestune cluster disconnect -n lab\norchestune cluster disconnect -n lab --archive",
    )
    add_name(parser)
    parser.add_argument("--archive", action="store_true", help="copy records and files of ended experiments first")
    parser.add_argument("--to", metavar="PLACE", help=_DESTINATION_HELP)
    parser = add_command(
        inner,
        "destroy",
        destroy,
        help="copy records and files, then remove Orchestune from a cluster, or a cluster that it created",
        details="Copies are verified before anything is removed. Waits until everything is gone, or lists what is left"
        " and exits with 1. If interrupted, repeat the command to complete it.",
        example="orchestune cluster destroy -n lab\norchestune cluster destroy -n lab --stop --to s3://team/lab",
    )
    add_name(parser)
    add_place(parser)
    add_cloud(parser)
    parser.add_argument(
        "--keep-registry",
        action="store_true",
        help="keep the image registry of a cluster that `cluster create` created",
    )
    parser.add_argument(
        "--to", metavar="PLACE", help=f"{_DESTINATION_HELP}; required if several users have experiments"
    )
    parser.add_argument("--stop", action="store_true", help="stop running experiments")
    parser.add_argument(
        "--abandon",
        action="store_true",
        help="continue without a copy if the server or the cluster is unreachable",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask for confirmation")


def disconnect(console: Console, args: argparse.Namespace) -> int:
    """Forget a cluster. Idempotent."""
    clusters = known_clusters(console)
    if args.to and not args.archive:
        raise UsageError("--to needs --archive", "add --archive")
    if clusters.find(args.name) is None:
        return _disconnected(console, args.name, f"{args.name} is not connected", forgotten=False)
    if args.archive:
        with Archive(console, args.name, args.to) as archive:
            running = copy_over(console, archive)
        if running:
            raise Conflict(f"not copied, because still running: {', '.join(running)}", "stop them, or remove --archive")
    clusters.remove(args.name)
    return _disconnected(
        console, args.name, f"{args.name} forgotten on this machine; the cluster was not changed", forgotten=True
    )


def _disconnected(console: Console, name: str, message: str, *, forgotten: bool) -> int:
    if console.json:
        console.document({"name": name, "forgotten": forgotten})
    else:
        console.note(message)
    return 0


def destroy(console: Console, args: argparse.Namespace) -> int:
    """Copy, verify, mark, remove and forget; each step leaves what a repeated command needs to continue."""
    cloud_cluster = made_there(console, args)
    if cloud_cluster is not None:
        from orchestune.cli.clusters import remove  # imports the provider's library, slow

        return remove.destroy(console, args, cloud_cluster)
    try:
        cluster = selected_cluster(console, args)
    except UsageError as exc:
        if known_clusters(console).find(args.name) is not None:
            raise
        clouds = " or ".join(f"--cloud {provider}" for provider in PROVIDERS)
        raise UsageError(
            f"no cluster '{args.name}' is connected on this machine, and {exc.message}",
            f"add {clouds} for one created there, --kubeconfig for one that was connected",
        ) from exc
    try:
        cluster_api = api(cluster)
        deployment = provisioner.present(cluster_api, cluster.namespace)
    except Unreachable as exc:
        if not args.abandon:
            exc.hint += "; --abandon forgets the cluster without accessing it"
            raise
        forget(console, cluster)
        console.note(f"{exc}; forgotten on this machine, the cluster was not changed")
        if console.json:
            console.document({"name": args.name, "removed": [], "left": []})
        return 0
    connection = deployment.connection if deployment else ConnectionSettings(args.name, cluster.namespace)
    if connection.name != args.name:
        raise UsageError(f"namespace {cluster.namespace} contains the server of cluster '{connection.name}'")
    provisioner.check_rights(
        cluster_api, permissions.to_destroy(connection), f"remove objects from {cluster.namespace}"
    )
    if not args.yes:
        confirm(
            f"Remove the server of '{args.name}' and its data from the namespace {cluster.namespace}?"
            f" Records and files are copied to {args.to or 'this machine'} first.",
            "nothing was changed",
        )
    with repeatable(console):
        if deployment is not None:
            save(console, cluster_api, cluster, deployment, args)
        removed = provisioner.remove(cluster_api, connection, console.note)
        has_namespace = f"Namespace {connection.namespace}" in removed
        remaining = wait_until_gone(cluster_api, connection, console.note, with_namespace=has_namespace)
    return _finished(console, cluster, removed, remaining)


def _finished(console: Console, cluster: ConnectedCluster, removed: list[str], remaining: list[str]) -> int:
    """Report the outcome. The registration stays while something is left, so that the command can be repeated."""
    name = cluster.name
    document = {"name": name, "removed": removed, "left": remaining}
    if not remaining:
        forget(console, cluster)
        return console.result(document, f"{name}: {'destroyed' if removed else 'nothing to remove'}")
    console.result(document, "\n".join([f"{name}: not all of it is gone", *(f"  {each}" for each in remaining)]))
    console.note("repeat the command once the cause is fixed")
    return 1
