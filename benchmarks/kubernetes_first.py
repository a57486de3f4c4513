"""The first trial on a warm cluster, for each way in which the worker's Python comes into a pod, beside a bare Job."""

from __future__ import annotations

import secrets
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import kubernetes, table
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import cluster
from tests.testbeds.registry import image_registry
from tests.testbeds.server import Lab
from tests.testbeds.waiting import until
from tests.testbeds.workers import Images, push_images

SMALL = {"cpu": 0.1, "memory": "64Mi"}


def first(lab: Lab, image: str) -> float:
    """From `orchestune run --detach` to the first finished trial."""
    began = time.monotonic()
    handle = lab.run(run="echo loss={x}", image=image, budget=1, resources=SMALL, keep=[])
    until("the trial", lambda: lab.status(handle)["counts"]["completed"] == 1, 600)
    return time.monotonic() - began


def bare(lab: Lab, image: str, name: str) -> float:
    """From `kubectl create` to a Job that is complete."""
    began = time.monotonic()
    lab.cluster.apply(kubernetes.job(name, image, "echo score=1"), namespace=lab.namespace)
    lab.cluster.kubectl("wait", "-n", lab.namespace, f"job/{name}", "--for=condition=Complete", "--timeout=600s")
    return time.monotonic() - began


def lab_of(access: Access, images: Images, folder: Path, *, by_volume: bool) -> Lab:
    """A server on this host that runs its workers in a namespace of its own."""
    namespace = f"first-{secrets.token_hex(4)}"
    access.create_namespace(namespace)
    (folder / namespace).mkdir()
    return Lab(access, namespace, images, folder / namespace, image_volumes=by_volume)


def main() -> None:
    """Measure in turns and print the table."""
    rounds = 3 if table.arguments(__doc__).parse_args().quick else 9
    print(table.machine())
    with ExitStack() as stack:
        registry = stack.enter_context(image_registry())
        running = stack.enter_context(cluster(registry))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = push_images(registry, folder)
        mounting, copying = (
            stack.enter_context(lab_of(running, images, folder, by_volume=way)) for way in (True, False)
        )
        for lab in (mounting, copying):  # so that the nodes have the images
            first(lab, images.busybox)
        durations = [
            (
                bare(mounting, images.busybox, f"first-{index}"),
                first(mounting, images.busybox),
                first(copying, images.busybox),
            )
            for index in range(rounds)
        ]
    names = ("kubectl create job", "orchestune, an image volume", "orchestune, a copy by an init container")
    medians = [statistics.median(column) for column in zip(*durations, strict=True)]
    rows: list[table.Row] = [[name, took, took / medians[0]] for name, took in zip(names, medians, strict=True)]
    table.show(f"The first trial on a warm cluster, medians of {rounds}", ["", "s", "of kubectl"], rows)


if __name__ == "__main__":
    main()
