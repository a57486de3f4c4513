"""`cluster destroy` of a cluster at a cloud provider: copy, verify, remove everything, check that nothing remains."""

from __future__ import annotations

import argparse
import time

from orchestune.cli.clusters.cloud import ProgressPrinter, provisioner_of, where, write_kubeconfig
from orchestune.cli.clusters.final_copy import forget, save
from orchestune.cli.clusters.shared import api, known_clusters, repeatable
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing import leftovers
from orchestune.clusters.existing.provisioner import present
from orchestune.domain.clusters.cluster import RemovalCheck
from orchestune.errors import OrchestuneError
from orchestune.ports.provisioner import Provisioner

_MAX_CHECKS, _CHECK_SECONDS = 4, 2.0
"""number of checks whether anything remains, and the seconds between them"""


def destroy(console: Console, args: argparse.Namespace, cluster: ConnectedCluster) -> int:
    """Destroy the cluster; each step leaves what a repeated command needs to continue."""
    provider = provisioner_of(console, cluster)
    payer = provider.payer()
    status = provider.status(cluster.name)
    if not args.yes:
        confirm(
            f"Destroy the cluster '{cluster.name}' in {where(payer)}, with everything in it? {_copy_notice(args)}",
            "nothing was changed",
        )
    if status is not None and status.up:
        _copy_and_clear(console, args, cluster, provider)
    progress = ProgressPrinter(console)
    try:
        with repeatable(console), progress:
            provider.destroy(cluster.name, progress, keep_registry=args.keep_registry)
    except OrchestuneError:
        _report(console, provider.prove(cluster.name, keep_registry=args.keep_registry), cluster, args)
        raise
    check = _removal_check(provider, cluster.name, keep_registry=args.keep_registry)
    _report(console, check, cluster, args)
    if check.left:
        return 1
    if not console.json:
        outcome = "destroyed" if status is not None or progress.told else "already destroyed"
        console.say(f"{args.name}: {outcome}")
    forget(console, cluster)
    return 0


def _copy_notice(args: argparse.Namespace) -> str:
    """Describe what happens to records and files, for the confirmation."""
    condition = "; with --abandon they are lost if the cluster does not answer" if args.abandon else ""
    return f"Records and files are copied to {args.to or 'this machine'} first{condition}."


def _removal_check(provider: Provisioner, name: str, *, keep_registry: bool) -> RemovalCheck:
    """Check what remains; a provider may list removed resources for a moment."""
    for _ in range(_MAX_CHECKS):
        check = provider.prove(name, keep_registry=keep_registry)
        if not check.left:
            break
        time.sleep(_CHECK_SECONDS)
    return check


def _copy_and_clear(
    console: Console, args: argparse.Namespace, cluster: ConnectedCluster, provider: Provisioner
) -> None:
    """Copy the server's data, then let Kubernetes remove the resources that it created at the provider."""
    addresses = provider.reach(cluster.name)
    if addresses is None:
        return
    cluster = write_kubeconfig(console, cluster, addresses, provider.login(cluster.name))
    known_clusters(console).add(cluster)
    try:
        cluster_api = api(cluster)
        deployment = present(cluster_api, cluster.namespace)
    except OrchestuneError as exc:
        if not args.abandon:
            exc.hint = f"{exc.hint}; --abandon removes everything without a copy".lstrip("; ")
            raise
        console.note(f"{exc.message}; removed without a copy because of --abandon")
        return
    if deployment is not None:
        save(console, cluster_api, cluster, deployment, args)
    try:
        leftovers.clear(cluster_api, console.note)
    except OrchestuneError as exc:  # the provider lists what remains
        console.note(f"cannot remove the cluster's own resources: {exc.message}")


def _report(console: Console, check: RemovalCheck, cluster: ConnectedCluster, args: argparse.Namespace) -> None:
    if console.json:
        remaining = [
            {"service": item.service, "kind": item.kind, "name": item.name, "why": item.why} for item in check.left
        ]
        console.document({"name": args.name, "looked": list(check.looked), "left": remaining})
        return
    for service in dict.fromkeys([*check.looked, *(item.service for item in check.left)]):
        entries = [f"{item.kind} {item.name}{f': {item.why}' if item.why else ''}"
                 for item in check.left if item.service == service]  # fmt: skip
        for entry in entries or ["nothing left"]:
            console.say(f"{service:22} {entry}")
    if args.keep_registry:
        command = f"orchestune cluster destroy -n {args.name} --cloud {cluster.cloud} --region {cluster.region}"
        console.say(f"{'registry':22} kept because of --keep-registry; remove it with `{command}`")
