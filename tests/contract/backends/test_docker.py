from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import docker
import pytest

from orchestune.testing.backend_contract import BackendContract
from tests.contract.backends.docker_place import MODES, Containers, stand_in_layer

pytestmark = pytest.mark.docker


@pytest.fixture(scope="session")
def address() -> str:
    return os.environ["ORCHESTUNE_TEST_DOCKER"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def images(address: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    layer = stand_in_layer(Path(os.environ["ORCHESTUNE_TEST_BUSYBOX"]), tmp_path_factory.mktemp("image") / "layer.tar")
    api = docker.APIClient(address, version="auto")
    found = {}
    for mode in MODES:
        name = f"stand-in-{mode or 'plain'}"
        api.import_image(str(layer), repository=name, tag="1", changes=[f"ENV STAND_IN={mode}", "USER 65534"])
        found[mode] = f"{name}:1"
    api.close()
    return found


@pytest.fixture
def place(address: str, tmp_path: Path, cache: Path, images: Mapping[str, str]) -> Iterator[Containers]:
    containers = Containers(address, tmp_path / "state", cache, images)
    yield containers
    containers.clear()


class TestDockerBackend(BackendContract):
    """The contract, with a worker that does nothing."""
