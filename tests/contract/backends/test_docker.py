from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestune.testing.backend_contract import BackendContract
from tests.contract.backends.docker_place import MODES, Containers
from tests.testbeds.docker import Engine
from tests.testbeds.docker_images import load, with_file
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
    found = {}
    for mode in MODES:
        image = Image(layer, user="65534", env=["PATH=/bin", f"STAND_IN={mode}"])
        found[mode] = load(docker_engine, f"stand-in-{mode or 'plain'}:1", image)
    return found


@pytest.fixture
def place(docker_engine: Engine, tmp_path: Path, cache: Path, images: Mapping[str, str]) -> Iterator[Containers]:
    containers = Containers(docker_engine.url, tmp_path / "state", cache, images)
    yield containers
    containers.clear()


class TestDockerBackend(BackendContract):
    """The contract, with a worker that does nothing."""
