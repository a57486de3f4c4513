"""The private Docker Engine keeps what it promises: other tests rely on it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.testbeds import cgroups
from tests.testbeds import docker as beds
from tests.testbeds.docker import Engine
from tests.testbeds.images import Image
from tests.testbeds.registry import Registry
from tests.testbeds.roots import busybox_root, musl_root, static_root

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'


@pytest.fixture(scope="module")
def shell(docker_engine: Engine) -> str:
    return docker_engine.load("testbed/shell:1", Image(busybox_root(), command=["sh"], user="65534"))


@pytest.fixture
def client(docker_engine: Engine) -> Iterator[docker.DockerClient]:
    with docker_engine.client() as client:
        yield client


def run(client: docker.DockerClient, image: str, *command: str) -> str:
    output: bytes = client.containers.run(image, list(command), network_mode="none", remove=True)
    return output.decode().strip()


def test_a_container_runs_as_the_images_user(client: docker.DockerClient, shell: str) -> None:
    assert run(client, shell, "id", "-u") == "65534"


def test_an_image_may_hold_one_program_and_nothing_else(client: docker.DockerClient, docker_engine: Engine) -> None:
    docker_engine.load("testbed/scratch:1", Image(static_root(HELLO, "hello"), ["/hello"]))
    assert run(client, "testbed/scratch:1") == "hello"


def test_an_image_may_have_another_c_library(client: docker.DockerClient, docker_engine: Engine) -> None:
    docker_engine.load("testbed/musl:1", Image(musl_root(HELLO, "hello"), command=["hello"]))
    assert run(client, "testbed/musl:1") == "hello"
    assert "ld-musl" in run(client, "testbed/musl:1", "sh", "-c", "ls /lib")


def test_an_image_of_the_registry_is_pulled_and_one_is_pushed(client: docker.DockerClient, registry: Registry) -> None:
    reference = registry.push("testbed/pulled:1", Image(busybox_root(), user="65534"))
    image = client.images.pull(reference)
    assert run(client, reference, "echo", "pulled") == "pulled"
    image.tag(f"{registry.address}/testbed/pushed", "2")
    output = client.images.push(f"{registry.address}/testbed/pushed", "2")
    assert '"error"' not in output and "digest: sha256:" in output


def test_the_daemon_comes_back_with_its_containers(
    client: docker.DockerClient, docker_engine: Engine, shell: str
) -> None:
    container = client.containers.create(shell, ["true"], network_mode="none")
    docker_engine.stop(signal.SIGKILL)
    assert not docker_engine.answers()
    docker_engine.start()
    assert client.containers.get(str(container.id)).status == "created"
    container.remove()


def test_nothing_is_left_of_an_engine_that_was_taken_down() -> None:
    with beds.docker_engine() as engine:
        if engine.foreign:
            pytest.skip("the engine in ORCHESTUNE_TEST_DOCKER belongs to somebody")
        image = engine.load("testbed/shell:1", Image(busybox_root()))
        with engine.client() as client:
            client.containers.run(image, ["sleep", "1000"], network_mode="host", detach=True)
        assert processes(engine.folder)
        assert cgroups.groups(engine.cgroup)
    assert not engine.folder.exists()
    assert not processes(engine.folder)
    assert str(engine.folder) not in Path("/proc/mounts").read_text()
    assert not cgroups.groups(engine.cgroup)


def processes(folder: Path) -> list[str]:
    command_lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            command_lines.append(line)
    return command_lines
