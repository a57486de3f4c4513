"""What the commands about clusters share: which one is meant, and how its API is reached."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import cluster_name
from orchestune.client.clusters import Clusters, ConnectedCluster
from orchestune.client.local.home import state_folder
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.clusters.existing.permissions import ResourcePermission, missing
from orchestune.clusters.existing.rights import account
from orchestune.domain.clusters.builtin import OWN
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import UsageError
from orchestune.kubeapi.kubeconfig import USUAL, Kubeconfig


def known(console: Console) -> Clusters:
    """The clusters of this user."""
    return Clusters(state_folder(console.environ))


def add_name(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The option -n NAME."""
    text = "name of the cluster" + ("" if required else " (default: the one that is used)")
    parser.add_argument("-n", "--name", type=cluster_name, metavar="NAME", required=required, help=text)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Where the cluster is, for commands that know it from `connect` otherwise."""
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, else ~/.kube/config")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--namespace", metavar="NAME", help="default: that of the context")


def refuse_place(args: argparse.Namespace) -> None:
    """UsageError where options say where a cluster is whose provider says that."""
    said = [f"--{name}" for name in ("kubeconfig", "context", "namespace") if getattr(args, name)]
    if said:
        raise UsageError(
            f"'{args.name}' was made at a cloud provider, which says where it is; {said[0]} names another place",
            f"leave it out; for another cluster choose another name, or `{_disconnect(args.name)}` first",
        )


def refuse_known(console: Console, name: str, provider: str) -> None:
    """UsageError where a cluster of that name is known here which is of another kind."""
    found = known(console).find(name)
    if found is not None and found.provider != provider:
        raise UsageError(
            f"'{name}' is {_kind(found)}", f"choose another name, or disconnect it first: `{_disconnect(name)}`"
        )


def own_kubeconfig(console: Console, name: str) -> Path:
    """The file in which the way to a cluster is kept that was made at a provider."""
    return state_folder(console.environ) / "kubeconfigs" / f"{name}.json"


def registered(console: Console, name: str | None) -> ConnectedCluster:
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


def _kind(cluster: ConnectedCluster) -> str:
    if cluster.provider == "kubernetes":
        return f"the cluster of Kubernetes in the namespace {cluster.namespace} of the context {cluster.context}"
    return f"a hosted server at {cluster.url}" if cluster.provider == "hosted" else OWN[cluster.provider]


def _disconnect(name: str) -> str:
    return f"orchestune cluster disconnect -n {name}"


def meant(console: Console, args: argparse.Namespace) -> ConnectedCluster:
    """The cluster that options describe, or, where it is connected already and they do not, as it is known.

    UsageError where what is known by that name is another one.
    """
    refuse_known(console, args.name, "kubernetes")
    found = known(console).find(args.name)
    if found is not None and not (args.kubeconfig or args.context or args.namespace):
        return found
    if found is not None and found.cloud:
        refuse_place(args)
    file = args.kubeconfig or (found.kubeconfig if found else None) or _usual(console)
    kubeconfig = os.pathsep.join(
        str(Path(os.path.expanduser(part)).absolute()) for part in file.split(os.pathsep) if part
    )
    context, described = Kubeconfig.read(kubeconfig).context(args.context or (found.context if found else None))
    usual = str(described.get("namespace") or "default")
    namespace = args.namespace or (found.namespace if found else "") or usual
    place = ConnectedCluster(args.name, "kubernetes", kubeconfig, context, namespace)
    if found is None:
        return place
    if _elsewhere(found, place):
        raise UsageError(
            f"'{args.name}' is {_kind(found)}, which is another place",
            f"choose another name, or disconnect it first: `{_disconnect(args.name)}`",
        )
    return replace(found, kubeconfig=kubeconfig, context=context, namespace=namespace)


def _elsewhere(one: ConnectedCluster, other: ConnectedCluster) -> bool:
    """Whether they are in two places. A context that is gone is believed to have another name now."""
    if one.namespace != other.namespace:
        return True
    try:
        return len({Kubeconfig.read(each.kubeconfig).server(each.context) for each in (one, other)}) > 1
    except UsageError:
        return False


def _usual(console: Console) -> str:
    return console.environ.get("KUBECONFIG") or USUAL


def api(cluster: ConnectedCluster) -> ContextClient:
    """Its API server."""
    return ContextClient(cluster.kubeconfig, cluster.context)


def role_of(api: ContextClient, connection: ConnectionSettings) -> str:
    """The strongest role whose token this user may ask for; empty: none."""
    for role in reversed(SERVER_ROLES):
        if not missing(
            api, [ResourcePermission("create", "serviceaccounts/token", "", connection.namespace, account(role))]
        ):
            return role
    return ""
