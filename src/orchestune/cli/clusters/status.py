"""`cluster status`: show nodes, usage, and why experiments are pending."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from orchestune import __version__
from orchestune.cli.clusters import cloud_status
from orchestune.cli.clusters.cloud_status import document
from orchestune.cli.clusters.shared import add_name
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.render import Paint, duration, number, one_line, size, table
from orchestune.client.address import place
from orchestune.client.api import Client
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.states import owner_of
from orchestune.domain.clusters.cluster import CloudStatus
from orchestune.errors import NotFound

if TYPE_CHECKING:
    from orchestune import documents

_MAX_NODES = 12
"""nodes listed one by one; pools are always listed"""


def add(inner: Commands) -> None:
    """Register the command."""
    parser = add_command(
        inner,
        "status",
        status,
        help="show nodes, pools, usage, and why experiments are pending",
        example="orchestune cluster status -n lab",
    )
    add_name(parser, required=False)


def status(console: Console, args: argparse.Namespace) -> int:
    """Query the provider, if the cluster is at one, and the cluster's own server."""
    location = place(console.environ, args.name)
    provider_view = _at_provider(console, location.cluster) if location.cluster and location.cluster.cloud else None
    if provider_view is not None and not provider_view.up:
        if console.json:
            console.document({"cloud": document(provider_view)})
        return 0
    with closing(Client.connect(location.resolve)) as client:
        server = client.server()
        cluster = client.cluster(location.name if location.embedded else None)
    if console.json:
        cloud = {"cloud": document(provider_view)} if provider_view else {}
        console.document({**cluster, "server": server["version"], **cloud})
        return 0
    console.say(*lines(cluster, console.paint, console.columns))
    if server["version"] != __version__:
        console.note(f"the server is version {server['version']}, this program {__version__}")
    return 0


def _at_provider(console: Console, cluster: ConnectedCluster) -> CloudStatus:
    """Print the provider's status of the cluster. Raises NotFound if the provider has no such cluster."""
    from orchestune.cli.clusters.cloud import provisioner_of  # imports the provider's library, slow

    provider = provisioner_of(console, cluster)
    status_ = provider.status(cluster.name)
    if status_ is None:
        archive_hint = (
            f"; it may have destroyed itself when idle: `orchestune import {cluster.archive}` has its records"
        )
        raise NotFound(
            f"no cluster '{cluster.name}' in {cluster.region}",
            f"`orchestune cluster create` completes it, `orchestune cluster destroy -n {cluster.name}` removes what"
            f" remains{archive_hint if cluster.archive else ''}",
        )
    if not console.json:
        account = provider.payer().account
        console.say(*cloud_status.lines(status_, account, console.paint, console.columns), "")
    return status_


def lines(cluster: documents.Cluster, paint: Paint, columns: int | None = None) -> list[str]:
    """Format pools, nodes and experiments."""
    machines = cluster["machines"]
    output = _pool_table(machines, paint, columns) if machines else ["nodes are not visible to the server"]
    if len(machines) > 1:
        output += ["", *_node_table(machines, paint, columns)]
    problems = [f"{machine['name']}: {one_line(machine['trouble'])}" for machine in machines if machine["trouble"]]
    output += ["", *problems] if problems else []
    if cluster["elastic"]:
        output += ["", "nodes are started on demand: capacity may grow"]
    notes = cluster.get("notes") or []  # an older server has none
    output += ["", *map(one_line, notes)] if notes else []
    output += ["", *_experiment_table(cluster["experiments"], paint, columns)]
    retirement = cluster.get("retirement")  # an older server has none
    return [*output, "", *_retirement(retirement)] if retirement else output


def _retirement(retirement: documents.Retirement) -> list[str]:
    """Describe when the cluster destroys itself."""
    archive, since = retirement["archive"], _to_minute(retirement["idle_since"])
    if retirement["begun"]:
        text = f"idle since {since}: it is being destroyed, its records are in {archive}"
    elif retirement["idle_since"]:
        at = _to_minute(retirement["destroys_at"])
        text = f"idle since {since}; destroys itself at {at}, once its records are in {archive}"
    else:
        after = duration(retirement["after"])
        text = f"destroys itself after {after} without work, once its records are in {archive}"
    return [text, *([f"not destroyed yet: {one_line(retirement['trouble'])}"] if retirement["trouble"] else [])]


def _to_minute(moment: str | None) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else "-"


def _pool_table(machines: Sequence[documents.SurveyedMachine], paint: Paint, columns: int | None) -> list[str]:
    rows = []
    for name in sorted({machine["pool"] for machine in machines}):
        inside = [machine for machine in machines if machine["pool"] == name]
        rows.append([name or "-", str(len(inside)), *_figures(inside)])
    return table(["pool", "nodes", *_HEADER], rows, paint, right=range(1, 11), columns=columns)


def _node_table(machines: Sequence[documents.SurveyedMachine], paint: Paint, columns: int | None) -> list[str]:
    rows = [[machine["name"], machine["pool"], *_figures([machine])] for machine in machines[:_MAX_NODES]]
    output = table(["node", "pool", *_HEADER], rows, paint, right=range(2, 11), columns=columns)
    return [*output, f"and {len(machines) - _MAX_NODES} more"] if len(machines) > _MAX_NODES else output


_HEADER = ["cpu", "ours", "others", "memory", "ours", "others", "gpu", "ours", "others"]


def _figures(machines: Iterable[documents.SurveyedMachine]) -> list[str]:
    """Return capacity, own usage and usage by others, of CPU, memory and GPUs."""
    machines = list(machines)
    capacity = [machine["has"] for machine in machines]
    ours = [machine["ours"] for machine in machines]
    others = [machine["others"] for machine in machines]
    known_others = [amount for amount in others if amount is not None]
    columns = []
    for amounts in (capacity, ours, known_others if len(known_others) == len(others) else None):
        columns.append(_sums(amounts))
    return [text for of_kind in zip(*columns, strict=True) for text in of_kind]


def _sums(amounts: Sequence[documents.Amount] | None) -> list[str]:
    if amounts is None:
        return ["unknown"] * 3
    cpu = sum(amount["cpu"] or 0 for amount in amounts)
    memory = sum(amount["memory"] or 0 for amount in amounts)
    return [number(round(cpu, 2)), size(memory), number(round(sum(amount["gpu"] for amount in amounts), 2))]


def _experiment_table(
    experiments: Sequence[documents.ClusterExperiment], paint: Paint, columns: int | None
) -> list[str]:
    if not experiments:
        return ["no experiments"]
    rows = [
        [item["handle"], owner_of(item), paint.state(item["state"]), f"{item['running']}/{item['parallelism']}",
         str(item["workers"]), item["waiting"] or ""]
        for item in experiments
    ]  # fmt: skip
    header = ["experiment", "owner", "state", "trials", "workers", "pending because"]
    return table(header, rows, paint, right=(3, 4), columns=columns)
