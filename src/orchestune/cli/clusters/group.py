"""`cluster`: the places where experiments run, and the servers that answer for them."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters import connect, create, destroy, release, status, test
from orchestune.cli.clusters.cloud import add_cloud, provisioner, where
from orchestune.cli.clusters.cloud_status import document
from orchestune.cli.clusters.shared import known
from orchestune.cli.commands import COMMANDS
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import CommandParser, Commands, Formatter, add_command
from orchestune.cli.terminal.render import table
from orchestune.client.clusters import ConnectedCluster
from orchestune.domain.clusters.builtin import OWN

_SHOWN = (
    "name", "provider", "cloud", "region", "context", "namespace", "registry", "url", "role", "user", "version",
)  # fmt: skip


def add(commands: Commands) -> None:
    """Add the command, and its own commands."""
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
    release.add(inner)
    _add_own(inner)
    destroy.add(inner)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 2


def _add_own(inner: Commands) -> None:
    parser = add_command(
        inner,
        "list",
        show,
        help="every cluster, the default first",
        details="With --cloud those of ours that a provider has, whoever made them.",
        example="orchestune cluster list\norchestune cluster list --cloud aws --region eu-central-1",
    )
    add_cloud(parser)
    parser = add_command(
        inner,
        "use",
        use,
        help="make a cluster the default",
        details="Another one is named for one command with --cluster, for a shell with ORCHESTUNE_CLUSTER.",
        example="orchestune cluster use lab",
    )
    parser.add_argument("name", metavar="NAME", help="a name that `cluster list` shows")


def show(console: Console, args: argparse.Namespace) -> int:
    """List what is connected, or what a provider has."""
    if args.cloud:
        return _show_there(console, args)
    clusters = known(console)
    default = clusters.default
    found = sorted(clusters.all(), key=lambda cluster: cluster.name != default)
    if console.json:
        console.document([{name: getattr(item, name) for name in _SHOWN} | {"default": item.name == default}
                          for item in found])  # fmt: skip
        return 0
    rows = [
        [item.name + (" *" if item.name == default else ""), item.cloud or item.provider, _where(item), item.role,
         item.version]
        for item in found
    ]  # fmt: skip
    console.say(
        *table(["cluster", "provider", "where", "role", "server"], rows, console.paint, columns=console.columns)
    )
    return 0


def _show_there(console: Console, args: argparse.Namespace) -> int:
    provider = provisioner(console, args.cloud, args.region or "")
    there = provider.clusters()
    if console.json:
        console.document([document(item) for item in there])
        return 0
    if not there:
        console.note(f"there is no cluster of ours in {where(provider.payer())}")
        return 0
    rows = [[item.name, item.region, item.state, item.version, ", ".join(f"{p.name} {p.now}" for p in item.pools)]
            for item in there]  # fmt: skip
    header = ["cluster", "region", "state", "kubernetes", "machines"]
    console.say(*table(header, rows, console.paint, columns=console.columns))
    return 0


def _where(cluster: ConnectedCluster) -> str:
    if cluster.cloud:
        return cluster.region
    if cluster.provider == "kubernetes":
        return f"{cluster.namespace} of {cluster.context or 'the current context'}"
    return cluster.url or OWN[cluster.provider]


def use(console: Console, args: argparse.Namespace) -> int:
    """Change the default."""
    known(console).use(args.name)
    if console.json:
        console.document({"default": args.name})
    else:
        console.note(f"{args.name} is the default now")
    return 0
