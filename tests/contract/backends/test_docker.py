from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestune.backends.docker import client, plan
from orchestune.backends.docker.config import Daemon
from orchestune.backends.docker.plan import ContainerDefaults
from orchestune.backends.docker.worker_folder import WorkerFolder
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.resources.resources import Resources
from orchestune.images.runtime import local_build
from orchestune.ports.backend import Phase, WorkerLoss, WorkerOrder
from tests.contract.backend_contract import BackendContract, new_order, wait_for_phase, wait_until
from tests.contract.backends.docker_place import MODES, STAND_IN, Containers
from tests.testbeds.docker import Engine
from tests.testbeds.docker_images import load, with_file
from tests.testbeds.gateways import socket_front
from tests.testbeds.images import Image
from tests.testbeds.roots import busybox_root

pytestmark = pytest.mark.docker


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def images(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    script = Path(__file__).with_name("stand_in.py").read_bytes()
    layer = with_file(busybox_root(), tmp_path_factory.mktemp("image") / "layer.tar", "stand_in.py", script)
    references = {}
    for mode in MODES:
        image = Image(layer, user="65534", env=["PATH=/bin", f"STAND_IN={mode}"])
        references[mode] = load(docker_engine, f"stand-in-{mode or 'plain'}:1", image)
    return references


@pytest.fixture
def place(docker_engine: Engine, tmp_path: Path, cache: Path, images: Mapping[str, str]) -> Iterator[Containers]:
    containers = Containers(docker_engine.url, tmp_path / "state", cache, images)
    yield containers
    containers.clear()


class TestDockerBackend(BackendContract):
    """The contract, with a worker that does nothing."""


class TestADaemonThatDoesNotSeeThisMachinesFolders(BackendContract):
    """The contract over a connection to another machine: the private Python is delivered in a volume."""

    @pytest.fixture
    def place(
        self, docker_engine: Engine, tmp_path: Path, cache: Path, images: Mapping[str, str]
    ) -> Iterator[Containers]:
        containers = Containers(docker_engine.url, tmp_path / "state", cache, images)
        containers.url = "http://tune.example:8470"
        with socket_front(docker_engine.url.removeprefix("unix://")) as front:
            containers.daemon = Daemon(f"tcp://127.0.0.1:{front.port}")
            yield containers
            containers.clear()


def order_of(place: Containers, mode: str = "", **changes: Any) -> WorkerOrder:
    """An order for a container in which the stand-in does that."""
    return replace(new_order(), gpus=(), placement=Placement(image=place.images[mode]), **changes)


def test_a_worker_that_dies_at_once_is_gone_with_its_exit_code_and_last_words(place: Containers) -> None:
    backend, order = place.backend(), order_of(place, "dies")
    handle = backend.start(order)
    reason = wait_for_phase(backend, order.worker, handle, Phase.GONE).reason
    assert "exit code 3" in reason
    assert "the moon is full" in reason
    log = place.state / "docker/workers" / order.worker / "worker.log"
    assert "the moon is full" in log.read_text()
    wait_until(lambda: not place.names(order.worker, running=False))


def test_a_worker_that_is_killed_for_memory_is_gone_for_that_reason(place: Containers) -> None:
    backend, order = place.backend(), order_of(place, "hungry", each=Resources(None, 2**25), slots=2)
    handle = backend.start(order)
    status = wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert (status.loss, "its limit of 0.0625 GiB" in status.reason) == (WorkerLoss.OUT_OF_MEMORY, True), status


def test_an_image_that_cannot_be_had_is_refused_in_the_daemons_words(place: Containers) -> None:
    backend = place.backend()
    order = replace(order_of(place), placement=Placement(image="127.0.0.1:1/no/such:1"))
    handle = backend.start(order)
    status = wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert status.loss is WorkerLoss.REFUSED
    assert "cannot pull the image 127.0.0.1:1/no/such:1" in status.reason
    assert "connection refused" in status.reason


def test_a_mount_that_the_daemon_refuses_is_final(place: Containers) -> None:
    backend, order = place.backend(), order_of(place)
    volume = Volume("/data", path="/no/such/folder")
    order = replace(order, placement=replace(order.placement, volumes=(volume,)))
    handle = backend.start(order)
    status = wait_for_phase(backend, order.worker, handle, Phase.GONE)
    assert (status.loss, "/no/such/folder" in status.reason) == (WorkerLoss.REFUSED, True), status
    assert not place.names(order.worker, running=False)


def test_while_its_image_is_pulled_a_worker_waits_says_so_and_can_be_ended(place: Containers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a registry that never answers
        image = f"127.0.0.1:{silent.getsockname()[1]}/slow:1"
        order = replace(order_of(place), placement=Placement(image=image))
        backend = place.backend()
        handle = backend.start(order)
        for server in (backend, place.backend()):  # and so it does after a restart
            wait_until(lambda server=server: image in server.observe({order.worker: handle})[0].reason)  # type: ignore[misc]
            assert server.observe({order.worker: handle})[0].phase is Phase.PENDING
        backend.terminate(order.worker, handle, 60.0)
        assert wait_for_phase(backend, order.worker, handle, Phase.GONE).reason == "the worker was asked to terminate"
        assert order.token not in "".join(path.read_text() for path in (place.state / "docker/workers").rglob("*.json"))


def test_a_server_that_dies_between_creating_and_starting_a_container_starts_it_later(place: Containers) -> None:
    order, backend = order_of(place), place.docker()
    config = {"Image": place.images[""], "Entrypoint": ["/bin/false"], "Cmd": []}
    place.api.create_container_from_config(config, plan.name(order))
    WorkerFolder(place.state / "docker/workers", order.worker).take(order)
    wait_for_phase(backend, order.worker, {}, Phase.RUNNING)
    wait_until(lambda: place.belongings(order.worker))


def test_a_container_that_somebody_removes_is_gone(place: Containers) -> None:
    backend, order = place.backend(), order_of(place)
    handle = backend.start(order)
    wait_for_phase(backend, order.worker, handle, Phase.RUNNING)
    place.api.remove_container(handle["container"], v=True, force=True)
    assert wait_for_phase(backend, order.worker, handle, Phase.GONE).reason


def test_a_sweep_removes_what_nobody_needs_and_touches_nothing_of_others(place: Containers, tmp_path: Path) -> None:
    other = Containers(place.address, tmp_path / "other", place.cache, place.images)
    mine, orphan, foreign = order_of(place), order_of(place), order_of(place)
    try:
        handles = {order.worker: place.backend().start(order) for order in (mine, orphan)}
        theirs = other.backend().start(foreign)
        backend = place.backend()
        for order in (mine, orphan):
            wait_for_phase(backend, order.worker, handles[order.worker], Phase.RUNNING)
        wait_for_phase(other.backend(), foreign.worker, theirs, Phase.RUNNING)
        place.backend().sweep(frozenset({mine.worker}))
        wait_until(lambda: not place.names(orphan.worker, running=False))
        assert place.names(mine.worker) and place.names(foreign.worker)
        assert [path.name for path in (place.state / "docker/workers").iterdir()] == [mine.worker]
    finally:
        other.clear()


def test_an_image_runs_with_a_read_only_root(place: Containers) -> None:
    order = order_of(place)
    site = ContainerDefaults(
        "x",
        client.DockerEngine(daemon=place.daemon).about(),
        str(local_build.build(place.cache)),
        place.url,
        command=STAND_IN,
    )
    config = plan.container(order, site)
    config["HostConfig"]["ReadonlyRootfs"] = True
    config["Labels"] = {}
    name = plan.name(order)
    place.api.create_container_from_config(config, name)
    try:
        place.api.put_archive(name, plan.WORKER, plan.archive(plan.document(order, site)))
        place.api.start(name)
        wait_until(lambda: has_file(place, name, f"{plan.WORKER}/state/seen.json"))
    finally:
        place.api.remove_container(name, v=True, force=True)


def has_file(place: Containers, name: str, path: str) -> bool:
    return client.DockerEngine(daemon=place.daemon).has_file(name, path)
