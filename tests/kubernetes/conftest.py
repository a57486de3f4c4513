"""Images and a server that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbeds.images import Image
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.roots import busybox_root
from tests.testbeds.server import Lab
from tests.testbeds.workers import Images


@pytest.fixture(scope="session")
def shell(registry: Registry) -> str:
    """An image with a shell, in the registry."""
    return registry.push("testbed/shell:1", Image(busybox_root(), command=["sh"], user="65534"))


@pytest.fixture(scope="session")
def server_image(kubernetes: Access, registry: Registry) -> str:
    """The server's image by digest, made once for all tests."""
    from orchestune.images.registry import open_registry
    from orchestune.images.server_image import push_server_image

    with open_registry(registry.address) as place:
        return str(push_server_image(place, "testbed/server"))


@pytest.fixture
def lab(kubernetes: Access, namespace: str, worker_images: Images, tmp_path: Path) -> Iterator[Lab]:
    """A server on this host that runs its workers in a namespace of its own."""
    with Lab(kubernetes, namespace, worker_images, tmp_path) as running:
        yield running
