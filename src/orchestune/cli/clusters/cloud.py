"""What commands about clusters at a cloud provider share: which provider, how progress is told, the way in."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

from orchestune.cli.clusters.shared import known, own_kubeconfig, refuse_place
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.render import duration
from orchestune.client.clusters import ConnectedCluster
from orchestune.clusters.providers import NAMES, open_provisioner
from orchestune.domain.clusters.cluster import ClusterAddresses, CompletedStep, CostCenter, ProvisioningEvent
from orchestune.errors import NotFound, UsageError
from orchestune.ports.provisioner import Provisioner
from orchestune.system.private import write_private

NAMESPACE = "orchestune"
_AGAIN = 60.0
"""seconds between two lines about what is still waited for, where lines are not painted again"""
_WORDS = {CompletedStep.MADE: "made", CompletedStep.FOUND: "there", CompletedStep.CHANGED: "changed",
          CompletedStep.REMOVED: "removed", CompletedStep.FAILED: "failed"}  # fmt: skip
_COLOURS = {
    CompletedStep.MADE: "32",
    CompletedStep.CHANGED: "32",
    CompletedStep.REMOVED: "32",
    CompletedStep.FAILED: "31",
}


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """Options that name a cluster at a provider which this machine does not know."""
    parser.add_argument("--cloud", choices=NAMES, help="look for it at this provider")
    parser.add_argument("--region", metavar="REGION", help="of the provider (default: what its own settings say)")


def profile(console: Console, before: str = "") -> str:
    """As whom the provider is asked: what the environment says, else as when the cluster was made or connected."""
    said = console.environ.get("AWS_PROFILE", "").strip()
    return said or ("" if console.environ.get("AWS_ACCESS_KEY_ID") else before)


def provisioner(console: Console, provider: str, region: str = "", before: str = "") -> Provisioner:
    """The provider, as this user; `before` as in `profile`."""
    return open_provisioner(provider, region, profile(console, before))


def provisioner_of(console: Console, cluster: ConnectedCluster) -> Provisioner:
    """That of a cluster which is known here."""
    return provisioner(console, cluster.cloud, cluster.region, cluster.profile)


def made_there(console: Console, args: argparse.Namespace) -> ConnectedCluster | None:
    """The cluster that was made at a provider and is meant; None where it is none of those."""
    found = known(console).find(args.name)
    if args.cloud or (found and found.cloud):
        refuse_place(args)
    if args.cloud:
        base = found or ConnectedCluster(args.name, "kubernetes", context=args.name, namespace=NAMESPACE)
        if base.provider != "kubernetes" or (found and not found.cloud):
            raise UsageError(f"'{args.name}' is another cluster here", "disconnect it first, or choose another name")
        if found and (args.cloud, args.region or found.region) != (found.cloud, found.region):
            raise UsageError(
                f"'{args.name}' is a cluster at {found.cloud} in {found.region}, which is another place",
                f"choose another name, or `orchestune cluster disconnect -n {args.name}` first",
            )
        region = args.region or base.region or provisioner(console, args.cloud).payer().region
        return replace(base, cloud=args.cloud, region=region, profile=profile(console, base.profile))
    return found if found is not None and found.cloud else None


def joined(console: Console, args: argparse.Namespace) -> ConnectedCluster:
    """The way into a cluster that somebody has made at a provider. NotFound where there is none of ours."""
    cluster = made_there(console, args)
    assert cluster is not None  # --cloud was said
    provider = provisioner_of(console, cluster)
    reached = provider.reach(cluster.name)
    if reached is None:
        raise NotFound(
            f"there is no cluster '{cluster.name}' of ours in {cluster.region}",
            f"`orchestune cluster list --cloud {cluster.cloud} --region {cluster.region}` lists those that there are",
        )
    return write_kubeconfig(console, cluster, reached, provider.login(cluster.name))


def where(payer: CostCenter) -> str:
    """Whose money it is, in words."""
    return f"account {payer.account} of {payer.provider.upper()}, {payer.region}, as {payer.identity}"


def write_kubeconfig(
    console: Console, cluster: ConnectedCluster, reached: ClusterAddresses, login: dict[str, object]
) -> ConnectedCluster:
    """The way to a cluster, kept in a file of its own; nothing secret stands in it."""
    name = cluster.name
    path = own_kubeconfig(console, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    document = {
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": [{"name": name,
                      "cluster": {"server": reached.server, "certificate-authority-data": reached.authority}}],
        "users": [{"name": name, "user": login}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": NAMESPACE}}],
    }  # fmt: skip
    write_private(path, json.dumps(document, indent=1))
    return replace(cluster, kubeconfig=str(path), context=name, namespace=NAMESPACE)


class ProgressPrinter:
    """Events as lines, within its block: one that is painted again on a terminal while something is waited for."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._painted = console.err.isatty() and not console.json
        self._waits: dict[str, float] = {}
        self._open = False
        self.told = 0
        """how often something was done, or found done"""

    def __call__(self, event: ProvisioningEvent) -> None:
        called = event.resource.called
        if event.what is CompletedStep.WAITING:
            self._wait(called, event)
            return
        self._close()
        self.told += event.what is not CompletedStep.FAILED
        self._waits.pop(called, None)
        paint = self._console.paint
        word = paint(_COLOURS.get(event.what, "2"), f"{_WORDS[event.what]:8}")
        took = f"  {duration(event.seconds)}" if event.seconds >= 1 else ""
        detail = f"  {paint.dim(event.resource.detail)}" if event.resource.detail else ""
        self._console.note(f"{word} {called}{detail}{took}")

    def note(self, line: str) -> None:
        """Something else to say meanwhile."""
        self._close()
        self._console.note(line)

    def __enter__(self) -> ProgressPrinter:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing more is waited for."""
        self._close()

    def _wait(self, called: str, event: ProvisioningEvent) -> None:
        if self._painted:
            self._close()
            self._console.err.write(f"…        {called}  {duration(event.seconds)}")
            self._console.err.flush()
            self._open = True
            return
        now = self._clock()
        if now - self._waits.setdefault(called, now) >= _AGAIN:
            self._waits[called] = now
            self._console.note(f"waiting  {called}  {duration(event.seconds)}")

    def _close(self) -> None:
        if self._open:
            self._console.err.write("\r\x1b[K")
            self._open = False
