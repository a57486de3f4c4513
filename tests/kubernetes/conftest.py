"""Images and a server that the tests of this folder share."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbeds.images import Image
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.roots import busybox_root
from tests.testbeds.server import Lab
from tests.testbeds.server_image import server_image_in, shared_folder
from tests.testbeds.workers import Images


@pytest.fixture(scope="session")
def shell(registry: Registry) -> str:
    """An image with a shell, in the registry."""
    return registry.push("testbed/shell:1", Image(busybox_root(), command=["sh"], user="65534"))


@pytest.fixture(scope="session")
def server_image(kubernetes: Access, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The server's image by digest, made once for all tests of all processes."""
    return server_image_in(registry.address, shared_folder(tmp_path_factory))


@pytest.fixture
def own_lab(kubernetes: Access, namespace: str, worker_images: Images, tmp_path: Path) -> Iterator[Lab]:
    """A server on this host that runs its workers in a namespace of its own: for tests that harm it."""
    with Lab(kubernetes, namespace, worker_images, tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_namespace(kubernetes: Access) -> Iterator[str]:
    """A namespace for all tests of a file that share it."""
    name = f"test-{secrets.token_hex(4)}"
    kubernetes.create_namespace(name)
    yield name
    kubernetes.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def lab(
    kubernetes: Access, shared_namespace: str, worker_images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A lab shared by the tests of a file that leave nothing which would harm the next one."""
    with Lab(kubernetes, shared_namespace, worker_images, tmp_path_factory.mktemp("lab")) as running:
        yield running
