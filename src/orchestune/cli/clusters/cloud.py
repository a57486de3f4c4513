"""Shared parts of the commands for clusters at a cloud provider: provider, progress and kubeconfig."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

from orchestune.cli.clusters.shared import known_clusters, own_kubeconfig, refuse_place
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import duration
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.providers import NAMES, open_provisioner
from orchestune.domain.clusters.cluster import ClusterAddresses, CompletedStep, CostCenter, ProvisioningEvent
from orchestune.errors import NotFound, UsageError
from orchestune.ports.provisioner import Provisioner
from orchestune.system.private import write_private

NAMESPACE = "orchestune"
_WAIT_LINE_SECONDS = 60.0
"""seconds between two lines about a pending resource, if lines are not repainted"""
_WORDS = {CompletedStep.MADE: "made", CompletedStep.FOUND: "there", CompletedStep.CHANGED: "changed",
          CompletedStep.REMOVED: "removed", CompletedStep.FAILED: "failed"}  # fmt: skip
_COLOURS = {
    CompletedStep.MADE: "32",
    CompletedStep.CHANGED: "32",
    CompletedStep.REMOVED: "32",
    CompletedStep.FAILED: "31",
}


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """Add the options that identify a cluster at a provider that is not registered on this machine."""
    parser.add_argument("--cloud", choices=NAMES, help="provider of the cluster")
    parser.add_argument(
        "--region", metavar="REGION", help="region of the provider (default: from the provider's own configuration)"
    )


def profile(console: Console, stored: str = "") -> str:
    """Return the AWS profile: that of the environment, else the stored one of the cluster."""
    from_environment = console.environ.get("AWS_PROFILE", "").strip()
    return from_environment or ("" if console.environ.get("AWS_ACCESS_KEY_ID") else stored)


def provisioner(console: Console, provider: str, region: str = "", stored: str = "") -> Provisioner:
    """Return the provider's provisioner for this user; `stored` as in `profile`."""
    return open_provisioner(provider, region, profile(console, stored))


def provisioner_of(console: Console, cluster: ConnectedCluster) -> Provisioner:
    """Return the provisioner of a registered cluster."""
    return provisioner(console, cluster.cloud, cluster.region, cluster.profile)


def made_there(console: Console, args: argparse.Namespace) -> ConnectedCluster | None:
    """Return the cluster at a provider that the options name, or None if it is not at a provider."""
    registered = known_clusters(console).find(args.name)
    if args.cloud or (registered and registered.cloud):
        refuse_place(args)
    if args.cloud:
        base = registered or ConnectedCluster(args.name, "kubernetes", context=args.name, namespace=NAMESPACE)
        if base.provider != "kubernetes" or (registered and not registered.cloud):
            raise UsageError(
                f"another cluster is connected as '{args.name}'", "disconnect it first, or choose another name"
            )
        if registered and (args.cloud, args.region or registered.region) != (registered.cloud, registered.region):
            raise UsageError(
                f"'{args.name}' is a cluster at {registered.cloud} in {registered.region}, not in that region",
                f"choose another name, or `orchestune cluster disconnect -n {args.name}` first",
            )
        region = args.region or base.region or provisioner(console, args.cloud).payer().region
        return replace(base, cloud=args.cloud, region=region, profile=profile(console, base.profile))
    return registered if registered is not None and registered.cloud else None


def joined(console: Console, args: argparse.Namespace) -> ConnectedCluster:
    """Return the cluster that another user created at a provider, with a kubeconfig.

    Raises NotFound if it does not exist.
    """
    cluster = made_there(console, args)
    assert cluster is not None  # --cloud is set
    provider = provisioner_of(console, cluster)
    addresses = provider.reach(cluster.name)
    if addresses is None:
        raise NotFound(
            f"no Orchestune cluster '{cluster.name}' in {cluster.region}",
            f"`orchestune cluster list --cloud {cluster.cloud} --region {cluster.region}` lists them",
        )
    return write_kubeconfig(console, cluster, addresses, provider.login(cluster.name))


def where(payer: CostCenter) -> str:
    """Describe the account that pays."""
    return f"account {payer.account} of {payer.provider.upper()}, {payer.region}, as {payer.identity}"


def write_kubeconfig(
    console: Console, cluster: ConnectedCluster, addresses: ClusterAddresses, login: dict[str, object]
) -> ConnectedCluster:
    """Write a kubeconfig for the cluster, without secrets, into a file of its own."""
    name = cluster.name
    path = own_kubeconfig(console, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name,
                      "cluster": {"server": addresses.server, "certificate-authority-data": addresses.authority}}],
        "users": [{"name": name, "user": login}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": NAMESPACE}}],
    }  # fmt: skip
    write_private(path, json.dumps(document, indent=1))
    return replace(cluster, kubeconfig=str(path), context=name, namespace=NAMESPACE)


class ProgressPrinter:
    """Prints provisioning events as lines, as a context manager; a pending resource is repainted on a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._is_repainted = console.err.isatty() and not console.json
        self._wait_lines: dict[str, float] = {}
        self._has_open_line = False
        self.told = 0
        """number of resources created, changed, removed or found complete"""

    def __call__(self, event: ProvisioningEvent) -> None:
        name = event.resource.title
        if event.what is CompletedStep.WAITING:
            self._show_wait(name, event)
            return
        self._end_line()
        self.told += event.what is not CompletedStep.FAILED
        self._wait_lines.pop(name, None)
        paint = self._console.paint
        word = paint(_COLOURS.get(event.what, "2"), f"{_WORDS[event.what]:8}")
        duration_text = f"  {duration(event.seconds)}" if event.seconds >= 1 else ""
        detail = f"  {paint.dim(event.resource.detail)}" if event.resource.detail else ""
        self._console.note(f"{word} {name}{detail}{duration_text}")

    def note(self, line: str) -> None:
        """Print a note in between."""
        self._end_line()
        self._console.note(line)

    def __enter__(self) -> ProgressPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        """End the line of a pending resource."""
        self._end_line()

    def _show_wait(self, name: str, event: ProvisioningEvent) -> None:
        if self._is_repainted:
            self._end_line()
            self._console.err.write(f"…        {name}  {duration(event.seconds)}")
            self._console.err.flush()
            self._has_open_line = True
            return
        now = self._clock()
        if now - self._wait_lines.setdefault(name, now) >= _WAIT_LINE_SECONDS:
            self._wait_lines[name] = now
            self._console.note(f"waiting  {name}  {duration(event.seconds)}")

    def _end_line(self) -> None:
        if self._has_open_line:
            self._console.err.write("\r\x1b[K")
            self._has_open_line = False
