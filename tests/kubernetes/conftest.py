"""Images that the tests of this folder share."""

from __future__ import annotations

import pytest

from tests.testbeds.images import Image
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.registry import Registry
from tests.testbeds.roots import busybox_root


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
