"""`cluster status`: what a cluster has, who uses it, and why experiments wait."""

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

_NODES = 12
"""machines that are listed one by one; pools are always"""


def add(inner: Commands) -> None:
    """Add the command."""
    parser = add_command(
        inner,
        "status",
        status,
        help="machines, pools, who uses what, and why experiments wait",
        example="orchestune cluster status -n lab",
    )
    add_name(parser, required=False)


def status(console: Console, args: argparse.Namespace) -> int:
    """Ask the provider, where it was made at one, and the cluster's own server."""
    where = place(console.environ, args.name)
    provider_view = _at_provider(console, where.cluster) if where.cluster and where.cluster.cloud else None
    if provider_view is not None and not provider_view.up:
        if console.json:
            console.document({"cloud": document(provider_view)})
        return 0
    with closing(Client.connect(where.resolve)) as client:
        server = client.server()
        found = client.cluster(where.name if where.embedded else None)
    if console.json:
        there = {"cloud": document(provider_view)} if provider_view else {}
        console.document({**found, "server": server["version"], **there})
        return 0
    console.say(*lines(found, console.paint, console.columns))
    if server["version"] != __version__:
        console.note(f"the server is version {server['version']}, this program {__version__}")
    return 0


def _at_provider(console: Console, cluster: ConnectedCluster) -> CloudStatus:
    """What the provider says, shown. NotFound where it has no such cluster."""
    from orchestune.cli.clusters.cloud import provisioner_of  # the provider's library takes its time

    provider = provisioner_of(console, cluster)
    found = provider.status(cluster.name)
    if found is None:
        kept = f"; it may have destroyed itself when idle: `orchestune import {cluster.archive}` has its records"
        raise NotFound(
            f"there is no cluster '{cluster.name}' in {cluster.region}",
            f"`orchestune cluster create` goes on making it, `orchestune cluster destroy -n {cluster.name}` removes the"
            f" rest{kept if cluster.archive else ''}",
        )
    if not console.json:
        account = provider.payer().account
        console.say(*cloud_status.lines(found, account, console.paint, console.columns), "")
    return found


def lines(found: documents.Cluster, paint: Paint, columns: int | None = None) -> list[str]:
    """Pools, nodes, experiments."""
    machines = found["machines"]
    shown = _pools(machines, paint, columns) if machines else ["the cluster does not show its machines"]
    if len(machines) > 1:
        shown += ["", *_machines(machines, paint, columns)]
    troubles = [f"{machine['name']}: {one_line(machine['trouble'])}" for machine in machines if machine["trouble"]]
    shown += ["", *troubles] if troubles else []
    if found["elastic"]:
        shown += ["", "machines are started on demand: more than this may come"]
    notes = found.get("notes") or []  # an older server has none
    shown += ["", *map(one_line, notes)] if notes else []
    shown += ["", *_experiments(found["experiments"], paint, columns)]
    retirement = found.get("retirement")  # an older server has none
    return [*shown, "", *_retirement(retirement)] if retirement else shown


def _retirement(found: documents.Retirement) -> list[str]:
    """When the cluster destroys itself."""
    after = duration(found["after"])
    if found["begun"]:
        said = [
            f"idle since {_minute(found['idle_since'])}: it is being destroyed, its records are in {found['archive']}"
        ]
    elif found["idle_since"]:
        said = [f"idle since {_minute(found['idle_since'])}; destroys itself at {_minute(found['destroys_at'])}"]
        said[0] += f", once its records are in {found['archive']}"
    else:
        said = [f"destroys itself after {after} without work, once its records are in {found['archive']}"]
    return [*said, f"it is not destroyed yet: {one_line(found['trouble'])}"] if found["trouble"] else said


def _minute(moment: str | None) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else "-"


def _pools(machines: Sequence[documents.SurveyedMachine], paint: Paint, columns: int | None) -> list[str]:
    rows = []
    for name in sorted({machine["pool"] for machine in machines}):
        inside = [machine for machine in machines if machine["pool"] == name]
        rows.append([name or "-", str(len(inside)), *_figures(inside)])
    return table(["pool", "nodes", *_HEADER], rows, paint, right=range(1, 11), columns=columns)


def _machines(machines: Sequence[documents.SurveyedMachine], paint: Paint, columns: int | None) -> list[str]:
    rows = [[machine["name"], machine["pool"], *_figures([machine])] for machine in machines[:_NODES]]
    shown = table(["node", "pool", *_HEADER], rows, paint, right=range(2, 11), columns=columns)
    return [*shown, f"and {len(machines) - _NODES} more"] if len(machines) > _NODES else shown


_HEADER = ["cpu", "ours", "others", "memory", "ours", "others", "gpu", "ours", "others"]


def _figures(machines: Iterable[documents.SurveyedMachine]) -> list[str]:
    """Capacity, used by us, used by others: of cpu, memory and GPUs."""
    machines = list(machines)
    has = [machine["has"] for machine in machines]
    ours = [machine["ours"] for machine in machines]
    others = [machine["others"] for machine in machines]
    known = [amount for amount in others if amount is not None]
    shown = []
    for amounts in (has, ours, known if len(known) == len(others) else None):
        shown.append(_sums(amounts))
    return [text for of_kind in zip(*shown, strict=True) for text in of_kind]


def _sums(amounts: Sequence[documents.Amount] | None) -> list[str]:
    if amounts is None:
        return ["unknown"] * 3
    cpu = sum(amount["cpu"] or 0 for amount in amounts)
    memory = sum(amount["memory"] or 0 for amount in amounts)
    return [number(round(cpu, 2)), size(memory), number(round(sum(amount["gpu"] for amount in amounts), 2))]


def _experiments(found: Sequence[documents.ClusterExperiment], paint: Paint, columns: int | None) -> list[str]:
    if not found:
        return ["no experiment runs here"]
    rows = [
        [item["handle"], owner_of(item), paint.state(item["state"]), f"{item['running']}/{item['parallelism']}",
         str(item["workers"]), item["waiting"] or ""]
        for item in found
    ]  # fmt: skip
    header = ["experiment", "owner", "state", "trials", "workers", "waits for"]
    return table(header, rows, paint, right=(3, 4), columns=columns)
