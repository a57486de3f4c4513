from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestune.backends.kubernetes.client import connect
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.planning import DryRunPlanner
from orchestune.ports.backend import Phase, WorkerLoss
from tests.contract.backend_contract import BackendContract, new_order, wait_for_phase, wait_until
from tests.contract.backends.kubernetes_place import Pods, stand_in_command
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.workers import Images

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def place(kubernetes: Access, namespace: str, worker_images: Images) -> Iterator[Pods]:
    kubernetes.kubectl("create", "serviceaccount", "orchestune-worker", "-n", namespace)
    config = KubernetesConfig(
        cluster="lab",
        namespace=namespace,
        url="http://127.0.0.1:9",
        runtime_image=worker_images.runtime,
        default_image=worker_images.busybox,
        cpu=0.05,
        farewell=5,
        kubeconfig=str(kubernetes.kubeconfig),
    )
    pods = Pods(kubernetes, config)
    yield pods
    pods.clear()


class TestKubernetesBackend(BackendContract):
    """The contract, with a worker that does nothing."""


def test_a_dry_run_of_a_client_plans_what_the_server_would(place: Pods) -> None:
    order = new_order()
    client = DryRunPlanner(place.config, connect(place.config), stand_in_command)
    assert client.plan(order) == place.backend().plan(order)


def test_a_worker_that_is_deleted_by_somebody_else_is_the_places_doing(place: Pods) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
    place.kill(order.worker, handle)
    sighting = wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert (sighting.loss, sighting.reason) == (WorkerLoss.PLACE, "its pod was deleted")


def test_a_worker_is_seen_on_its_node(place: Pods) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    node = wait_for_phase(backend, order.worker, handle, Phase.RUNNING).node
    assert node in [machine.name for machine in backend.capacity().machines]


def test_a_sweep_removes_what_nobody_wants_and_nothing_else(place: Pods, tmp_path: Path) -> None:
    backend, current, unwanted, foreign = place.backend(), new_order(), new_order(), "somebodys-own"
    handles = {order.worker: backend.start(order) for order in (current, unwanted)}
    place.cluster.kubectl("create", "job", foreign, "-n", place.namespace, f"--image={place.config.default_image}")
    for worker, handle in handles.items():
        wait_for_phase(backend, worker, handle, Phase.RUNNING)

    def swept() -> bool:
        backend.sweep(frozenset({current.worker}))
        return not place.cluster.exists("jobs,pods,secrets", "-n", place.namespace, "-l", _of(unwanted.worker))

    wait_until(swept)
    assert place.cluster.exists("job", foreign, "-n", place.namespace)
    assert place.cluster.exists("secret", "-n", place.namespace, "-l", _of(current.worker))
    wait_for_phase(backend, current.worker, handles[current.worker], Phase.RUNNING)


def test_a_swept_worker_leaves_no_secret(place: Pods) -> None:
    backend, order = place.backend(), new_order()
    handle = backend.start(order)
    wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
    backend.terminate(order.worker, handle, 1.0)
    wait_until(lambda: not place.cluster.exists("jobs,pods,secrets", "-n", place.namespace, "-l", _of(order.worker)))


def _of(worker: str) -> str:
    return f"orchestune.dev/worker={worker}"
