"""A real cluster of three nodes: first trials, changed code, trivial trials, beside what `kubectl` does with Jobs."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import kubernetes_workers, table
from orchestune.client.address import resolver
from orchestune.client.api import Client
from orchestune.images.registries.registry import open_registry
from orchestune.images.runtime.server_image import push_server_image
from tests.kubernetes.lab import Lab
from tests.testbeds.images import Image
from tests.testbeds.kubernetes.cluster import cluster
from tests.testbeds.registry import Registry, image_registry
from tests.testbeds.roots import busybox_root
from tests.testbeds.waiting import until


@contextlib.contextmanager
def connected() -> Iterator[tuple[Lab, str, Client]]:
    """A cluster with our server in it, the address of an image with a shell, and a client."""
    with image_registry() as registry, cluster(registry) as kubernetes:
        shell = registry.push("benchmark/shell:1", Image(busybox_root(), command=["sh"], user="65534"))
        namespace = f"bench-{secrets.token_hex(4)}"
        kubernetes.create_namespace(namespace)
        with open_registry(registry.address) as place:
            image = str(push_server_image(place, "benchmark/server"))
        with Lab(kubernetes, namespace, registry) as lab:
            lab.connect("--server-image", image, "--registry", registry.address)
            lab.home.run("cluster", "use", lab.name)
            client = Client.connect(resolver(lab.home.env, lab.name), retry_seconds=120)
            try:
                yield lab, shell, client
            finally:
                client.close()


def job(name: str, image: str, command: str, completions: int = 1, parallelism: int = 1) -> dict[str, Any]:
    """A Job as a user writes it by hand."""
    container = {"name": "main", "image": image, "command": ["sh", "-c", command]}
    container["resources"] = {"requests": {"cpu": "100m", "memory": "64Mi"}}  # type: ignore[assignment]
    spec = {"restartPolicy": "Never", "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"completions": completions, "parallelism": parallelism, "template": {"spec": spec}},
    }


def seconds_of_job(lab: Lab, document: dict[str, Any]) -> float:
    """From `kubectl create` to a Job that is complete."""
    name = document["metadata"]["name"]
    began = time.monotonic()
    lab.cluster.kubectl("create", "-n", lab.namespace, "-f", "-", text=json.dumps(document))
    lab.cluster.kubectl("wait", "-n", lab.namespace, f"job/{name}", "--for=condition=Complete", "--timeout=1200s")
    return time.monotonic() - began


def first_finished(lab: Lab, client: Client, folder: Path) -> float:
    """From `orchestune run --detach` to the first finished trial."""
    began = time.monotonic()
    handle = lab.home.run("run", "--detach", cwd=folder).stdout.strip()
    until("the first trial", lambda: client.experiment(handle)["counts"]["completed"] > 0, 600)
    return time.monotonic() - began


def first_line(lab: Lab, folder: Path, word: str) -> float:
    """From `orchestune run` with changed code to the first line of it on the screen."""
    (folder / "new.sh").write_text(f"echo {word}; echo score=$1\n")
    began = time.monotonic()
    handle = lab.home.run("run", "--detach", cwd=folder).stdout.strip()
    with lab.home.start("logs", handle, "--follow") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if word in line:
                took = time.monotonic() - began
                process.terminate()
                process.communicate()
                return took
    raise AssertionError("the line never came")


def traffic(registry: Registry) -> int:
    """Bytes of everything that the registry holds."""
    return sum(path.stat().st_size for path in Path(registry.folder).rglob("data") if path.is_file())


def warm_rate(lab: Lab, client: Client, folder: Path) -> tuple[float, int]:
    """Trivial trials a second of one experiment, from the first lease to the last result; and how many."""
    handle = lab.home.run("run", "--detach", cwd=folder).stdout.strip()
    until("the trials", lambda: client.experiment(handle)["state"] == "completed", 1200)
    finished_trials = [trial for trial in client.trials(handle) if trial["started_at"] and trial["finished_at"]]
    began = min(_moment(trial["started_at"]) for trial in finished_trials)
    ended = max(_moment(trial["finished_at"]) for trial in finished_trials)
    return len(finished_trials) / (ended - began), len(finished_trials)


def _moment(text: str | None) -> float:
    return datetime.fromisoformat(str(text)).timestamp()


def main() -> None:
    """Measure one after the other and print the tables."""
    options = table.arguments(__doc__).parse_args()
    trials, pods = (200, 10) if options.quick else (1000, 30)
    print(table.machine())
    small = {"cpu": "100m", "memory": "64Mi"}
    with connected() as (lab, shell, client):
        trivial = {"run": "echo score={x}", "keep": [], "resources": small, "engine": "random"}
        warm = {**trivial, "run": "sleep 1; echo score={x}"}  # so that every node has the images
        lab.home.run("run", cwd=lab.experiment(shell, budget=12, parallelism=12, **warm))
        before = traffic(lab.registry)
        rounds = [
            (
                seconds_of_job(lab, job(f"first-{index}", shell, "echo score=1")),
                first_finished(lab, client, lab.experiment(shell, budget=1, parallelism=1, **trivial)),
                first_line(
                    lab,
                    lab.experiment(shell, budget=1, parallelism=1, **{**trivial, "run": "sh new.sh {x}"}),
                    f"word-{index}",
                ),
            )
            for index in range(3)
        ]
        pushed = traffic(lab.registry) - before
        kubectl, first, changed = (sorted(column)[1] for column in zip(*rounds, strict=True))
        rate, count = warm_rate(lab, client, lab.experiment(shell, budget=trials, parallelism=8, **trivial))
        took = seconds_of_job(lab, job("trivial", shell, "echo score=1", pods, 8))
        real = 30 if options.quick else 100
        servers = kubernetes_workers.rows(lab, client, shell, 100, real, 30 if options.quick else 120)
    rows: list[table.Row] = [
        ["kubectl create job, one pod of the same image, to its end (s)", kubectl, 1.0],
        ["orchestune run, to the first finished trial (s)", first, first / kubectl],
        ["changed code: orchestune run, to its first line on the screen (s)", changed, changed / kubectl],
        ["bytes to the registry for three changes of code", pushed, "-"],
    ]
    table.show("First trials on a warm cluster, medians of 3", ["", "", "of kubectl"], rows)
    table.show(
        "Trivial trials, 8 at a time",
        ["", "trials", "trials/s", "ratio"],
        [
            ["a Job with completions, a pod per trial", pods, pods / took, 1.0],
            ["orchestune, warm workers", count, rate, rate / (pods / took)],
        ],
    )
    table.show("The server's pod", ["", "CPU (thousandths of a core)", "memory (MiB)"], servers)


if __name__ == "__main__":
    main()
