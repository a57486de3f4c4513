"""Last step of every `connect`: check that the server answers, and print the user's role."""

from __future__ import annotations

import getpass
import sys
from contextlib import closing
from dataclasses import replace

from orchestune import __version__
from orchestune.cli.clusters.shared import known_clusters, refuse_known
from orchestune.cli.terminal.console import Console
from orchestune.client.address import check_address, checked, named_token, resolver
from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.local.home import state_folder
from orchestune.client.logins import Logins
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.errors import Denied, UsageError


def say_hello(console: Console, connection: ConnectionSettings, cluster: ConnectedCluster) -> int:
    """Request the server's version through the API server and register the cluster."""
    if not cluster.role:
        raise Denied(
            f"{cluster.user or 'this user'} has no role in the cluster '{cluster.name}'",
            f"ask an administrator for one of the Roles orchestune-viewer, -editor, -owner of {connection.namespace}",
        )
    with closing(Client.connect(resolver(console.environ, cluster=cluster.name), retry_seconds=30.0)) as client:
        server = client.server()
    cluster = replace(cluster, version=server["version"])
    known_clusters(console).add(cluster)
    return _print_connected(console, cluster)


def join_hosted(console: Console, name: str, address: str) -> int:
    """Register a hosted server with its token, once it has answered."""
    refuse_known(console, name, "hosted")
    address = address.rstrip("/")
    check_address(address, "--server")
    token = named_token(console.environ)
    if not token and Logins(state_folder(console.environ)).find(address) is None:
        token = checked(_prompt_for_token(address), "the answer")
    environ = {**console.environ, "ORCHESTUNE_SERVER": address, "ORCHESTUNE_TOKEN": token}
    with closing(Client.connect(resolver(environ), retry_seconds=10.0)) as client:
        server = client.server()
    cluster = ConnectedCluster(name, "hosted", url=address, token=token, version=server["version"])
    known_clusters(console).add(cluster)
    return _print_connected(console, cluster)


def _prompt_for_token(address: str) -> str:
    if not sys.stdin.isatty():
        hint = f"sign in first: `orchestune login {address}`, or set ORCHESTUNE_TOKEN to the token from its operator"
        raise UsageError("no token", hint)
    return getpass.getpass(f"Token for {address}: ").strip()


def _print_connected(console: Console, cluster: ConnectedCluster) -> int:
    if console.json:
        names = ("name", "provider", "namespace", "url", "role", "user", "version")
        console.document({name: getattr(cluster, name) for name in names})
        return 0
    role_text = f" as {cluster.role}" if cluster.role else ""
    console.say(f"{cluster.name}: connected{role_text}, server {cluster.version}")
    if cluster.version != __version__:
        hint = (
            f"; `orchestune cluster upgrade -n {cluster.name}` upgrades it" if cluster.provider == "kubernetes" else ""
        )
        console.note(f"the server is version {cluster.version}, this program {__version__}{hint}")
    if known_clusters(console).default != cluster.name:
        console.note(
            f"`orchestune run --cluster {cluster.name}` runs there; `orchestune cluster use {cluster.name}`"
            " makes it the default"
        )
    return 0
