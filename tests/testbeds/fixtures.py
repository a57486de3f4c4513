"""Real clusters and servers as fixtures of the session: each is started when the first test asks for it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestune.services.core import Core
from tests.testbeds import docker as engines
from tests.testbeds.docker import Engine
from tests.testbeds.kubernetes import build
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.kubernetes.cluster import Cluster, cluster
from tests.testbeds.machine import Broken
from tests.testbeds.postgres import postgres_server
from tests.testbeds.registry import Registry, image_registry
from tests.testbeds.slurm import Slurm, slurm_cluster
from tests.testbeds.workers import Images, push_images

if TYPE_CHECKING:
    from tests.contract.world import CoreWorld

KUBECONFIG = "ORCHESTUNE_TEST_KUBECONFIG"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """A core with nothing in it but what `handles` puts there."""
    from tests.testbeds.seed import core_of  # the whole server: only who asks for it pays for it

    new_core = core_of(tmp_path_factory.mktemp("seeded"))
    yield new_core
    new_core.store.close()


@pytest.fixture(scope="module")
def handles(core: Core) -> dict[str, str]:
    """The handles of an experiment of each kind, as `seed` makes them, by name."""
    from tests.testbeds.seed import seed

    return seed(core)


@pytest.fixture
def own_core(core: Core, handles: dict[str, str], tmp_path: Path) -> Iterator[Core]:
    """A copy of them for a test that changes something, since the tests of a file run in any order."""
    from tests.testbeds.seed import core_of

    with closing(sqlite3.connect(str(core.store.engine.url.database))) as database:
        database.execute("VACUUM INTO ?", (str(tmp_path / "orchestune.db"),))
    new_core = core_of(tmp_path)
    yield new_core
    new_core.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    """The whole core on SQLite, with a fake place, a fake clock and no background threads."""
    from tests.contract.world import CoreWorld  # as above

    core_world = CoreWorld(tmp_path)
    yield core_world
    core_world.close()


@pytest.fixture(scope="session")
def registry() -> Iterator[Registry]:
    """An image registry at a loopback address, from which the nodes of `kubernetes` pull by the same address."""
    with image_registry() as running:
        yield running


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A private Docker Engine, or the developer's."""
    with engines.docker_engine() as running:
        yield running


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A private Slurm."""
    with slurm_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest) -> Iterator[Access]:
    """A Kubernetes cluster: this run's own with the nodes cpu1, cpu2 and gpu1, or the developer's."""
    existing = os.environ.get(KUBECONFIG)
    if existing:
        yield Access(Path(existing), build.built_path())
        return
    if build.missing():
        missing = ", ".join(build.missing())
        raise Broken(f"not built yet: {missing}. Once, some minutes: python -m tests.testbeds.kubernetes build")
    with cluster(request.getfixturevalue("registry")) as running:
        yield running


@pytest.fixture(scope="session")
def worker_images(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Images for workers and trials, in the registry."""
    return push_images(registry, tmp_path_factory.mktemp("images"))


@pytest.fixture
def own_kubernetes(kubernetes: Access) -> Iterator[Cluster]:
    """The cluster for tests that break its parts; whole again afterwards. Never a developer's own."""
    if not isinstance(kubernetes, Cluster):
        pytest.skip(f"this test stops parts of the cluster, and the one in {KUBECONFIG} belongs to somebody")
    yield kubernetes
    kubernetes.heal()


@pytest.fixture(scope="session")
def kubernetes_postgres_url(kubernetes: Access) -> Iterator[str]:
    """A PostgreSQL on this host that pods of the run's own cluster reach, and this host too, by the same URL."""
    if not isinstance(kubernetes, Cluster):
        pytest.skip("pods of a developer's own cluster may not reach this host")
    with postgres_server(kubernetes.host_address) as url:
        yield url


@pytest.fixture
def namespace(kubernetes: Access) -> Iterator[str]:
    """A new namespace, removed after the test with everything in it (the test does not wait for that)."""
    name = f"test-{secrets.token_hex(4)}"
    kubernetes.create_namespace(name)
    yield name
    kubernetes.kubectl("delete", "namespace", name, "--wait=false")
