"""`cluster destroy` of a cluster that was made at a cloud provider: copy, check, remove all of it, prove it."""

from __future__ import annotations

import argparse
import time

from orchestune.cli.clusters.cloud import ProgressPrinter, provisioner_of, where, write_kubeconfig
from orchestune.cli.clusters.final_copy import forget, save
from orchestune.cli.clusters.shared import api, known, repeatable
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.prompts import confirm
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.existing import leftovers
from orchestune.clusters.existing.provisioner import present
from orchestune.domain.clusters.cluster import RemovalCheck
from orchestune.errors import OrchestuneError
from orchestune.ports.provisioner import Provisioner

_LOOKS, _POLL = 4, 2.0
"""how often it is looked whether nothing is left, and the seconds between"""


def destroy(console: Console, args: argparse.Namespace, cluster: ConnectedCluster) -> int:
    """Each step leaves what the next run needs to go on."""
    provider = provisioner_of(console, cluster)
    payer = provider.payer()
    standing = provider.status(cluster.name)
    if not args.yes:
        confirm(
            f"Destroy the cluster '{cluster.name}' in {where(payer)}, with everything in it? {_copied(args)}",
            "nothing was changed",
        )
    if standing is not None and standing.up:
        _empty(console, args, cluster, provider)
    telling = ProgressPrinter(console)
    try:
        with repeatable(console), telling:
            provider.destroy(cluster.name, telling, keep_registry=args.keep_registry)
    except OrchestuneError:
        _tell(console, provider.prove(cluster.name, keep_registry=args.keep_registry), cluster, args)
        raise
    proof = _proof(provider, cluster.name, keep_registry=args.keep_registry)
    _tell(console, proof, cluster, args)
    if proof.left:
        return 1
    if not console.json:
        gone = "destroyed" if standing is not None or telling.told else "nothing is there any more"
        console.say(f"{args.name}: {gone}")
    forget(console, cluster)
    return 0


def _copied(args: argparse.Namespace) -> str:
    """What becomes of records and files, as whoever is asked has to know it."""
    lost = "; where the cluster does not answer they are lost, as --abandon says" if args.abandon else ""
    return f"Records and files go to {args.to or 'this machine'} first{lost}."


def _proof(provider: Provisioner, name: str, *, keep_registry: bool) -> RemovalCheck:
    """What is seen in the end: for a moment a provider may still show what it has removed."""
    for _ in range(_LOOKS):
        proof = provider.prove(name, keep_registry=keep_registry)
        if not proof.left:
            break
        time.sleep(_POLL)
    return proof


def _empty(console: Console, args: argparse.Namespace, cluster: ConnectedCluster, provider: Provisioner) -> None:
    """Copy what the server has; then let Kubernetes remove what it made at the provider."""
    reached = provider.reach(cluster.name)
    if reached is None:
        return
    cluster = write_kubeconfig(console, cluster, reached, provider.login(cluster.name))
    known(console).add(cluster)
    try:
        there = api(cluster)
        found = present(there, cluster.namespace)
    except OrchestuneError as exc:
        if not args.abandon:
            exc.hint = f"{exc.hint}; --abandon removes everything without a copy".lstrip("; ")
            raise
        console.note(f"{exc.message}; removed without a copy, as --abandon says")
        return
    if found is not None:
        save(console, there, cluster, found, args)
    try:
        leftovers.clear(there, console.note)
    except OrchestuneError as exc:  # what it leaves is found at the provider
        console.note(f"the cluster does not remove its own things: {exc.message}")


def _tell(console: Console, proof: RemovalCheck, cluster: ConnectedCluster, args: argparse.Namespace) -> None:
    if console.json:
        left = [{"service": item.service, "kind": item.kind, "name": item.name, "why": item.why} for item in proof.left]
        console.document({"name": args.name, "looked": list(proof.looked), "left": left})
        return
    for service in dict.fromkeys([*proof.looked, *(item.service for item in proof.left)]):
        there = [f"{item.kind} {item.name}{f': {item.why}' if item.why else ''}"
                 for item in proof.left if item.service == service]  # fmt: skip
        for said in there or ["nothing left"]:
            console.say(f"{service:22} {said}")
    if args.keep_registry:
        again = f"orchestune cluster destroy -n {args.name} --cloud {cluster.cloud} --region {cluster.region}"
        console.say(f"{'registry':22} left, as --keep-registry says; `{again}` removes it")
