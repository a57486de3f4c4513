"""`cluster`: manage the clusters that experiments run on."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters import connect, create, destroy, recover, release, status, test
from orchestune.cli.clusters.cloud import add_cloud, provisioner, where
from orchestune.cli.clusters.cloud_status import document
from orchestune.cli.clusters.shared import known_clusters
from orchestune.cli.commands import COMMANDS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import CommandParser, Commands, Formatter, add_command
from orchestune.cli.terminal.render import table
from orchestune.client.clusters import ConnectedCluster
from orchestune.domain.clusters.builtin import BUILTIN_CLUSTERS
from orchestune.kubeapi.archive_record import ArchiveRecord

_DOCUMENT_FIELDS = (
    "name", "provider", "cloud", "region", "context", "namespace", "registry", "url", "role", "user", "version",
    "archive", "destroyed_by", "destroyed_at",
)  # fmt: skip


def add(commands: Commands) -> None:
    """Register the command with its subcommands."""
    help = COMMANDS["cluster"].help
    parser: argparse.ArgumentParser = commands.add_parser(
        "cluster",
        help=help,
        description=f"{help[0].upper()}{help[1:]}.",
        epilog="example:\n"
        "  orchestune cluster connect -n lab --context lab --namespace ml --registry registry.lab:5000\n"
        "  orchestune run --cluster lab\n",
        formatter_class=Formatter,
    )
    inner = parser.add_subparsers(
        dest="cluster_command", metavar="COMMAND", title="commands", parser_class=CommandParser
    )
    parser.set_defaults(run=lambda console, args: _help(parser))
    create.add(inner)
    connect.add(inner)
    status.add(inner)
    test.add(inner)
    recover.add(inner)
    release.add(inner)
    _add_list_and_use(inner)
    destroy.add(inner)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2


def _add_list_and_use(inner: Commands) -> None:
    parser = add_command(
        inner,
        "list",
        show,
        help="list the connected clusters, the default first",
        details="--cloud lists the Orchestune clusters at a provider, whoever created them.",
        example="orchestune cluster list\norchestune cluster list --cloud aws --region eu-central-1",
    )
    add_cloud(parser)
    parser = add_command(
        inner,
        "use",
        use,
        help="make a cluster the default",
        details="Override it for one command with --cluster, for a shell with ORCHESTUNE_CLUSTER.",
        example="orchestune cluster use lab",
    )
    parser.add_argument("name", metavar="NAME", help="name from `cluster list`")


def show(console: Console, args: argparse.Namespace) -> int:
    """List the connected clusters, or those at a provider."""
    if args.cloud:
        return _list_at_provider(console, args)
    clusters = known_clusters(console)
    default = clusters.default
    listed = sorted(clusters.all(), key=lambda cluster: cluster.name != default)
    if console.json:
        console.document([{name: getattr(item, name) for name in _DOCUMENT_FIELDS} | {"default": item.name == default}
                          for item in listed])  # fmt: skip
        return 0
    rows = [
        [item.name + (" *" if item.name == default else ""), item.cloud or item.provider, _location(item), item.role,
         item.version]
        for item in listed
    ]  # fmt: skip
    console.say(
        *table(["cluster", "provider", "where", "role", "server"], rows, console.paint, columns=console.columns)
    )
    for item in listed:
        if item.destroyed_at:
            console.note(ArchiveRecord(item.archive, item.destroyed_by, item.destroyed_at).error(item.name).message)
    return 0


def _list_at_provider(console: Console, args: argparse.Namespace) -> int:
    provider = provisioner(console, args.cloud, args.region or "")
    provider_clusters = provider.clusters()
    if console.json:
        console.document([document(cluster) for cluster in provider_clusters])
        return 0
    if not provider_clusters:
        console.note(f"no Orchestune clusters in {where(provider.payer())}")
        return 0
    rows = [
        [item.name, item.region, item.state, item.version, ", ".join(f"{pool.name} {pool.now}" for pool in item.pools)]
        for item in provider_clusters
    ]
    header = ["cluster", "region", "state", "kubernetes", "machines"]
    console.say(*table(header, rows, console.paint, columns=console.columns))
    return 0


def _location(cluster: ConnectedCluster) -> str:
    if cluster.cloud:
        return cluster.region
    if cluster.provider == "kubernetes":
        return f"{cluster.namespace} of {cluster.context or 'the current context'}"
    return cluster.url or BUILTIN_CLUSTERS[cluster.provider]


def use(console: Console, args: argparse.Namespace) -> int:
    """Change the default cluster."""
    known_clusters(console).use(args.name)
    if console.json:
        console.document({"default": args.name})
    else:
        console.note(f"{args.name} is now the default cluster")
    return 0
