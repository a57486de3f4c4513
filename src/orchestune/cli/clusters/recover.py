"""`cluster recover`: move the server away from a lost node."""

from __future__ import annotations

import argparse

from orchestune.cli.clusters.shared import add_name, add_place, api, repeatable, selected_cluster
from orchestune.cli.terminal.console import Console
from orchestune.cli.terminal.parser import Commands, add_command
from orchestune.cli.terminal.prompts import confirm
from orchestune.clusters.existing import permissions, provisioner, recovery, rollout
from orchestune.clusters.existing.recovery import LostPod
from orchestune.domain.words import plural
from orchestune.errors import NotFound


def add(inner: Commands) -> None:
    """Register the command."""
    parser = add_command(
        inner,
        "recover",
        recover,
        help="move the server of a cluster away from a lost node",
        details="Kubernetes keeps the server on a node that no longer answers, and its disk with it, since the node"
        " might still run. Power the machine off first if you can: two servers that write to one disk corrupt it.",
        example="orchestune cluster recover -n lab",
    )
    add_name(parser)
    add_place(parser)
    parser.add_argument(
        "--out-of-service",
        action="store_true",
        help="also taint the node as out of service: the disks of everything on it are detached at once",
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask: the machine is powered off")


def recover(console: Console, args: argparse.Namespace) -> int:
    """Delete the server's pods on lost nodes after asking, and wait until their replacements are ready."""
    cluster = selected_cluster(console, args)
    cluster_api = api(cluster)
    deployment = provisioner.present(cluster_api, cluster.namespace)
    if deployment is None:
        raise NotFound(
            f"no server is deployed in namespace {cluster.namespace}",
            f"`orchestune cluster connect -n {args.name}` deploys it",
        )
    connection = deployment.connection
    provisioner.check_rights(
        cluster_api, permissions.to_recover(connection, taints=args.out_of_service), "recover the server"
    )
    lost = recovery.lost_pods(cluster_api, connection)
    if not lost:
        return console.result(
            {"name": args.name, "recovered": []},
            f"{args.name}: the nodes of the server answer, so nothing was changed;"
            f" `orchestune cluster test -n {args.name}` looks for other causes",
        )
    for pod in lost:
        console.note(_known(pod))
    if not args.yes:
        confirm(_question(lost, args.out_of_service), "nothing was changed")
    with repeatable(console):
        for node in {pod.node for pod in lost} if args.out_of_service else ():
            if recovery.mark_out_of_service(cluster_api, node):
                undo = f"kubectl taint nodes {node} {recovery.TAINT}-"
                console.note(f"node {node} is marked as out of service; undo this once it is back: `{undo}`")
        for pod in lost:
            recovery.delete_pod(cluster_api, connection, pod)
        rollout.wait(cluster_api, connection, console.note)
    return console.result(
        {"name": args.name, "recovered": [{"pod": pod.name, "node": pod.node} for pod in lost]},
        f"{args.name}: the server runs on another node",
    )


def _known(pod: LostPod) -> str:
    holds = f", and holds the claim {pod.holds}" if pod.holds else ""
    return f"pod {pod.name} is on node {pod.node}{holds}; the node is lost: {pod.reason}"


def _question(lost: list[LostPod], taints: bool) -> str:
    nodes = sorted({pod.node for pod in lost})
    if not any(pod.holds for pod in lost):
        return f"Delete {plural(len(lost), 'pod')} of the server on {', '.join(nodes)}?"
    machines = f"the machine {nodes[0]}" if len(nodes) == 1 else f"the machines {', '.join(nodes)}"
    question = (
        f"If {machines} may still run and write to the disk, power it off first: two servers on one disk corrupt it."
    )
    if taints:
        question += " Everything else on it is deleted and moved, too."
    return f"{question} Is it off, and shall the server start on another node?"
