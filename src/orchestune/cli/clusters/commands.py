"""What the commands about clusters share: which one is meant, and how its API is reached."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestune.cli.console import Console
from orchestune.client.clusters import Cluster, Clusters
from orchestune.client.home import state_folder
from orchestune.clusters.existing.client import Api
from orchestune.clusters.existing.config import ROLES, Connection
from orchestune.clusters.existing.permissions import Right, missing
from orchestune.clusters.existing.rights import account
from orchestune.errors import UsageError
from orchestune.kubeapi.kubeconfig import USUAL, Kubeconfig


def known(console: Console) -> Clusters:
    """The clusters of this user."""
    return Clusters(state_folder(console.environ))


def add_name(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The option -n NAME."""
    text = "name of the cluster" + ("" if required else " (default: the one that is used)")
    parser.add_argument("-n", "--name", metavar="NAME", required=required, help=text)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where the cluster is, for commands that know it from `connect` otherwise."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--namespace", metavar="NAME", help="default: that of the context")


def registered(console: Console, name: str | None) -> Cluster:
    """A connected cluster of Kubernetes. NotFound where there is none of that name, UsageError for another kind."""
    clusters = known(console)
    chosen = name or console.environ.get("ORCHESTUNE_CLUSTER", "").strip() or clusters.default
    cluster = clusters.get(chosen)
    if cluster.provider != "kubernetes":
        hint = "name one with -n" + ("" if cluster.url else "; `orchestune doctor` looks at this machine")
        raise UsageError(f"'{chosen}' is no cluster of Kubernetes, but {_kind(cluster)}", hint)
    return cluster


@contextmanager
def repeatable(console: Console) -> Iterator[None]:
    """Whoever presses Ctrl-C in between is told that nothing has to be put in order."""
    try:
        yield
    except KeyboardInterrupt:
        console.note("interrupted: the same command goes on from here")
        raise


def _kind(cluster: Cluster) -> str:
    here = "this machine's containers" if cluster.provider == "docker" else "this machine"
    return f"a hosted server at {cluster.url}" if cluster.provider == "hosted" else here


def meant(console: Console, args: argparse.Namespace) -> Cluster:
    """The cluster that options describe, or, where it is connected already and they do not, as it is known."""
    found = known(console).find(args.name)
    if found is not None and found.provider != "kubernetes":
        raise UsageError(f"'{args.name}' is {_kind(found)}", "choose another name, or disconnect it first")
    if found is not None and not (args.kubeconfig or args.context or args.namespace):
        return found
    file = args.kubeconfig or (found.kubeconfig if found else None) or _usual(console)
    kubeconfig = os.pathsep.join(str(Path(part).expanduser().absolute()) for part in file.split(os.pathsep) if part)
    context, described = Kubeconfig.read(kubeconfig).context(args.context or (found.context if found else None))
    usual = str(described.get("namespace") or "default")
    namespace = args.namespace or (found.namespace if found else "") or usual
    base = found or Cluster(args.name, "kubernetes")
    return replace(base, kubeconfig=kubeconfig, context=context, namespace=namespace)


def _usual(console: Console) -> str:
    return console.environ.get("KUBECONFIG") or USUAL


def api(cluster: Cluster) -> Api:
    """Its API server."""
    return Api(cluster.kubeconfig, cluster.context)


def role_of(api: Api, connection: Connection) -> str:
    """The strongest role whose token this user may ask for; empty: none."""
    for role in reversed(ROLES):
        if not missing(api, [Right("create", "serviceaccounts/token", "", connection.namespace, account(role))]):
            return role
    return ""
