"""Shared parts of the cluster commands: selecting the cluster, and access to its API."""

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
from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import UsageError
from orchestune.kubeapi.kubeconfig import DEFAULT_PATH, Kubeconfig


def known_clusters(console: Console) -> Clusters:
    """Return the registered clusters of this user."""
    return Clusters(state_folder(console.environ))


def add_name(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the option -n NAME."""
    text = "name of the cluster" + ("" if required else " (default: the default cluster)")
    parser.add_argument("-n", "--name", type=cluster_name, metavar="NAME", required=required, help=text)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that locate a cluster that is not registered."""
    parser.add_argument(
        "--kubeconfig", metavar="FILE", help="kubeconfig file (default: KUBECONFIG, else ~/.kube/config)"
    )
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    parser.add_argument("--namespace", metavar="NAME", help="namespace (default: that of the context)")


def refuse_place(args: argparse.Namespace) -> None:
    """Raise UsageError if options locate a cluster whose location the provider knows."""
    options = [f"--{name}" for name in ("kubeconfig", "context", "namespace") if getattr(args, name)]
    if options:
        raise UsageError(
            f"{options[0]} cannot be used with '{args.name}', a cluster at a cloud provider",
            f"remove the option; for another cluster choose another name, or `{_disconnect(args.name)}` first",
        )


def refuse_known(console: Console, name: str, provider: str) -> None:
    """Raise UsageError if a cluster of that name but of another kind is registered."""
    cluster = known_clusters(console).find(name)
    if cluster is not None and cluster.provider != provider:
        raise UsageError(
            f"'{name}' is {_kind(cluster)}", f"choose another name, or disconnect it first: `{_disconnect(name)}`"
        )


def own_kubeconfig(console: Console, name: str) -> Path:
    """Return the path of the kubeconfig of a cluster created at a provider."""
    return state_folder(console.environ) / "kubeconfigs" / f"{name}.json"


def registered(console: Console, name: str | None) -> ConnectedCluster:
    """Return a registered Kubernetes cluster. Raises NotFound if absent, UsageError for another kind."""
    clusters = known_clusters(console)
    selected = name or console.environ.get("ORCHESTUNE_CLUSTER", "").strip() or clusters.default
    cluster = clusters.get(selected)
    if cluster.provider != "kubernetes":
        hint = "name one with -n" + ("" if cluster.url else "; `orchestune doctor` checks this machine")
        raise UsageError(f"'{selected}' is {_kind(cluster)} (expected a Kubernetes cluster)", hint)
    return cluster


@contextmanager
def repeatable(console: Console) -> Iterator[None]:
    """Note at Ctrl-C that the same command can be repeated without cleanup."""
    try:
        yield
    except KeyboardInterrupt:
        console.note("interrupted: repeat the command to continue")
        raise


def _kind(cluster: ConnectedCluster) -> str:
    if cluster.provider == "kubernetes":
        return f"the Kubernetes cluster in the namespace {cluster.namespace} of the context {cluster.context}"
    return f"a hosted server at {cluster.url}" if cluster.provider == "hosted" else BUILTIN_CLUSTERS[cluster.provider]


def _disconnect(name: str) -> str:
    return f"orchestune cluster disconnect -n {name}"


def selected_cluster(console: Console, args: argparse.Namespace) -> ConnectedCluster:
    """Return the cluster that the options locate, or the registered one if they do not.

    Raises UsageError if another cluster is registered under that name.
    """
    refuse_known(console, args.name, "kubernetes")
    stored = known_clusters(console).find(args.name)
    if stored is not None and not (args.kubeconfig or args.context or args.namespace):
        return stored
    if stored is not None and stored.cloud:
        refuse_place(args)
    file = args.kubeconfig or (stored.kubeconfig if stored else None) or _default_kubeconfig(console)
    kubeconfig = os.pathsep.join(
        str(Path(os.path.expanduser(part)).absolute()) for part in file.split(os.pathsep) if part
    )
    context, context_entry = Kubeconfig.read(kubeconfig).context(args.context or (stored.context if stored else None))
    default_namespace = str(context_entry.get("namespace") or "default")
    namespace = args.namespace or (stored.namespace if stored else "") or default_namespace
    located = ConnectedCluster(args.name, "kubernetes", kubeconfig, context, namespace)
    if stored is None:
        return located
    if _is_other_cluster(stored, located):
        raise UsageError(
            f"'{args.name}' is {_kind(stored)}, not this cluster",
            f"choose another name, or disconnect it first: `{_disconnect(args.name)}`",
        )
    return replace(stored, kubeconfig=kubeconfig, context=context, namespace=namespace)


def _is_other_cluster(stored: ConnectedCluster, located: ConnectedCluster) -> bool:
    """Return True if they are different clusters. A context that no longer exists counts as renamed."""
    if stored.namespace != located.namespace:
        return True
    try:
        return len({Kubeconfig.read(cluster.kubeconfig).server(cluster.context) for cluster in (stored, located)}) > 1
    except UsageError:
        return False


def _default_kubeconfig(console: Console) -> str:
    return console.environ.get("KUBECONFIG") or DEFAULT_PATH


def api(cluster: ConnectedCluster) -> ContextClient:
    """Return the client of the cluster's API server."""
    return ContextClient(cluster.kubeconfig, cluster.context)


def role_of(api: ContextClient, connection: ConnectionSettings) -> str:
    """Return the strongest role whose token this user may create; empty if none."""
    for role in reversed(SERVER_ROLES):
        if not missing(
            api, [ResourcePermission("create", "serviceaccounts/token", "", connection.namespace, account(role))]
        ):
            return role
    return ""
