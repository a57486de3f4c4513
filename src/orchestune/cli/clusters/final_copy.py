"""The copy of what a cluster's server has, before anything of it is removed; and forgetting the cluster here."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.archive import Archive, ask_to_end, copy_over
from orchestune.cli.clusters.shared import known, own_kubeconfig
from orchestune.cli.terminal.console import Console
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing import provisioner
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import DATA
from orchestune.errors import Conflict, NotFound, TemporaryError


def save(
    console: Console,
    cluster_api: ContextClient,
    cluster: ConnectedCluster,
    found: provisioner.DeploymentState,
    args: argparse.Namespace,
) -> None:
    """Copy what the server has, unless an earlier run has, and has removed the server since."""
    if not found.deployed:
        space = cluster.namespace
        data = found.connection.makes_claim and cluster_api.get("v1", "PersistentVolumeClaim", DATA, space) is not None
        if data and not found.archived and not args.abandon:
            raise Conflict(
                f"the server is not there, but its data is (the claim {DATA} of {space}), and nobody has copied it",
                f"`orchestune cluster connect -n {cluster.name}` brings the server back; --abandon removes the data",
            )
        return
    if known(console).find(cluster.name) is None:
        known(console).add(cluster)  # the way to the server is found by its name
    try:
        with Archive(console, cluster.name, args.to) as archive:
            ask_to_end(console, archive, stop=args.stop)
            copy_over(console, archive)
            provisioner.mark_archived(cluster_api, found.connection)
    except (TemporaryError, NotFound) as exc:
        if not args.abandon:
            exc.hint = f"{exc.hint}; --abandon removes everything without a copy".lstrip("; ")
            raise
        console.note(f"{exc.message}; removed without a copy, as --abandon says")


def forget(console: Console, cluster: ConnectedCluster) -> None:
    """Know it no longer; the way to one that was made goes with it. One that is not known is no mistake."""
    clusters = known(console)
    for item in clusters.connected():
        if item.name == cluster.name:
            clusters.remove(item.name)
            own_kubeconfig(console, item.name).unlink(missing_ok=True)
