"""`status` and `cluster status` with a thousand pods of others in the namespace, beside the same without them."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

from benchmarks import kubernetes, table
from tests.kubernetes.lab import Lab
from tests.testbeds.kubernetes.fake_nodes import FakeNodes

PODS = 1000


@dataclass(frozen=True)
class Cost:
    """Of one command of the command line."""

    seconds: float
    """the best of some: what else the machine does counts the least then"""
    cpu: float
    """seconds, the median of them"""


def cost(lab: Lab, command: tuple[str, ...], times: int) -> Cost:
    """Run it so often."""
    seconds, cpu = [], []
    for _ in range(times):
        began, before = time.monotonic(), os.times()
        lab.home.run(*command)
        after = os.times()
        seconds.append(time.monotonic() - began)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return Cost(min(seconds), statistics.median(cpu))


def main() -> None:
    """Measure without the pods and with them, and print the table."""
    times = 5 if table.arguments(__doc__).parse_args().quick else 15
    print(table.machine())
    with kubernetes.connected() as (lab, shell, _), FakeNodes(lab.cluster, ["fake1", "fake2"]) as nodes:
        lab.home.run("run", "--detach", cwd=lab.experiment(shell, run="sleep 3000; echo score=1", budget=2))
        commands = (("status",), ("cluster", "status", "-n", lab.name))
        empty = [cost(lab, command, times) for command in commands]
        nodes.run(lab.namespace, PODS)
        crowded = [cost(lab, command, times) for command in commands]
        lab.home.run("cluster", "destroy", "-n", lab.name, "--yes", "--stop", "--abandon")
    rows: list[table.Row] = []
    for command, without, beside in zip(commands, empty, crowded, strict=True):
        name = f"orchestune {' '.join(command[:2])}"
        rows += [
            [f"{name} (s)", without.seconds, beside.seconds, beside.seconds / without.seconds],
            [f"{name} (s of CPU)", without.cpu, beside.cpu, beside.cpu / without.cpu],
        ]
    table.show(f"{PODS} pods of others in the namespace", ["", "without", "with", "ratio"], rows)


if __name__ == "__main__":
    main()
