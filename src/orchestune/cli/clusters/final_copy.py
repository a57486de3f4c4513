"""Copy of a server's data before the server is removed, and removal of the cluster's registration."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from orchestune.cli.clusters.archive import Archive, ask_to_end, copy_over, refuse_private_destination
from orchestune.cli.clusters.shared import known_clusters, own_kubeconfig
from orchestune.cli.terminal.console import Console
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.local.launch_context import owner
from orchestune.clusters.existing import archive_record, provisioner
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import DATA
from orchestune.errors import Conflict, NotFound, TemporaryError
from orchestune.kubeapi.archive_record import ArchiveRecord


def save(
    console: Console,
    cluster_api: ContextClient,
    cluster: ConnectedCluster,
    deployment: provisioner.DeploymentState,
    args: argparse.Namespace,
) -> None:
    """Copy the server's data, unless an earlier run has copied it and removed the server."""
    if not deployment.deployed:
        namespace = cluster.namespace
        has_data = (
            deployment.connection.makes_claim
            and cluster_api.get("v1", "PersistentVolumeClaim", DATA, namespace) is not None
        )
        if has_data and not deployment.archived and not args.abandon:
            raise Conflict(
                f"the server is not deployed, but its data (claim {DATA} of {namespace}) has not been copied",
                f"`orchestune cluster connect -n {cluster.name}` redeploys the server; --abandon removes the data",
            )
        return
    if known_clusters(console).find(cluster.name) is None:
        known_clusters(console).add(cluster)  # the server is resolved by the cluster's name
    try:
        with Archive(console, cluster.name, args.to) as archive:
            has_colleagues = refuse_private_destination(archive, cluster.name, args.to)
            ask_to_end(console, archive, stop=args.stop)
            copy_over(console, archive)
            if has_colleagues:
                now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
                record = ArchiveRecord(archive.destination, owner(console.environ), now)
                archive_record.write(cluster_api, deployment.connection, record, console.note)
            provisioner.mark_archived(cluster_api, deployment.connection)
    except (TemporaryError, NotFound) as exc:
        if not args.abandon:
            exc.hint = f"{exc.hint}; --abandon removes everything without a copy".lstrip("; ")
            raise
        console.note(f"{exc.message}; removed without a copy because of --abandon")


def forget(console: Console, cluster: ConnectedCluster) -> None:
    """Remove the cluster's registration, with the kubeconfig of one created at a provider. Idempotent."""
    clusters = known_clusters(console)
    for cluster_ in clusters.connected():
        if cluster_.name == cluster.name:
            clusters.remove(cluster_.name)
            own_kubeconfig(console, cluster_.name).unlink(missing_ok=True)
