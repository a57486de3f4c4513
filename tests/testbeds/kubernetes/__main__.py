"""A Kubernetes cluster for developers: python -m tests.testbeds.kubernetes build | up | down | lose | restart | list"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from tests.testbeds.cache import cache_folder
from tests.testbeds.kubernetes.build import binaries
from tests.testbeds.kubernetes.cluster import KIND, NODES, Cluster
from tests.testbeds.machine import Broken
from tests.testbeds.owned import leftovers
from tests.testbeds.registry import Registry


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m tests.testbeds.kubernetes", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs that are not in the cache yet (7-8 minutes the first time)")
    commands.add_parser("list", help="the clusters of this machine")
    up = commands.add_parser("up", help="start a cluster with a registry, and print how to reach them")
    up.add_argument("--nodes", nargs="+", default=NODES, help="a name that begins with gpu pretends to have 4 GPUs")
    down = commands.add_parser("down", help="end it, and whatever a test run that died has left")
    lose = commands.add_parser("lose", help="pull a node's plug")
    restart = commands.add_parser("restart", help="switch a node on again")
    for command in (up, down, lose, restart):
        command.add_argument("-n", "--name", default="dev")
    for command in (lose, restart):
        command.add_argument("node")
    return top


def up(cluster: Cluster, nodes: Sequence[str]) -> None:
    """Start it; prints what a shell has to export."""
    began = time.monotonic()
    registry = Registry(cluster.folder / "registry")
    binaries(lambda line: print(line, file=sys.stderr, flush=True))
    cluster.up(nodes, registry)
    registry.start()
    print(f"# ready after {time.monotonic() - began:.1f} s; what listens on {cluster.host_address} is reached by pods")
    print(f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.programs}:$PATH")
    print(f"export ORCHESTUNE_TEST_KUBECONFIG={cluster.kubeconfig} ORCHESTUNE_TEST_REGISTRY={registry.address}")


def down(cluster: Cluster) -> None:
    """End it and what dead test runs left."""
    cluster.down()
    for folder in leftovers(KIND):
        print(f"taking down {folder.name}, whose test run has died", file=sys.stderr)
        Cluster(folder).down()


def main() -> None:
    """Run one command."""
    options = parser().parse_args()
    if options.command == "build":
        binaries(lambda line: print(line, flush=True))
    elif options.command == "list":
        for folder in sorted((cache_folder() / KIND).glob("*")):
            print(folder.name, "up" if Cluster(folder).control.alive else "down", folder / "admin.kubeconfig")
    else:
        cluster = Cluster(cache_folder() / KIND / options.name)
        if options.command == "up":
            up(cluster, options.nodes)
        elif options.command == "down":
            down(cluster)
        elif options.command == "lose":
            cluster.lose_node(options.node)
        else:
            cluster.restart_node(options.node)


if __name__ == "__main__":
    try:
        main()
    except (Broken, AssertionError) as exc:
        sys.exit(f"error: {exc}")
