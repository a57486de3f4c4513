"""Fixtures of every suite: a real PostgreSQL for tests that need one, no silent skips in CI, all cores in use."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.testbeds.fixtures import (
    core,
    docker_engine,
    handles,
    kubernetes,
    kubernetes_postgres_url,
    namespace,
    own_core,
    own_kubernetes,
    registry,
    slurm,
    worker_images,
    world,
)
from tests.testbeds.postgres import postgres_server

TESTS = Path(__file__).parent
SLOW_FOLDERS = tuple(TESTS / folder for folder in ("e2e", "security", "integration/api", "integration/aws"))
"""Suites that start whole servers and clients, or send requests by the thousand: `make test-long` runs them."""
NO_SKIPS = os.environ.get("ORCHESTUNE_NO_SKIPS") == "1"
MARKS = {  # of a test that takes one of these fixtures; the first that fits, so that `registry` alone means docker
    "kubernetes": {"kubernetes", "kubernetes_postgres_url", "own_kubernetes", "namespace"},
    "docker": {"docker_engine", "registry", "worker_images"},
    "slurm": {"slurm"},
    "postgres": {"postgres_url", "postgres_database"},
}
LONGEST = {
    "test_document.py", "test_examples.py", "test_going.py", "test_lives.py", "test_promises_server.py",
    "test_sklearn.py", "test_stateful.py",
}  # fmt: skip
"""files with tests of a minute and more: they come first, so that no core waits for one of them at the end"""
# how long a test takes is up to the machine
settings.register_profile("unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
gc.set_threshold(50_000, 20, 50)  # of a test's time a seventh went into looking for garbage
__all__ = [
    "core",
    "docker_engine",
    "handles",
    "kubernetes",
    "kubernetes_postgres_url",
    "namespace",
    "own_core",
    "own_kubernetes",
    "registry",
    "slurm",
    "worker_images",
    "world",
]  # fixtures count where they are imported


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server, started once per session: `postgresql+psycopg://…`. An error where there is none."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """A new, empty database on that server."""
    import psycopg  # only where PostgreSQL is asked for

    name = f"test_{secrets.token_hex(6)}"
    plain = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    yield postgres_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def pytest_configure() -> None:
    """Before anything is imported that looks at these."""
    # a shell's background job ignores Ctrl-C, and its children would: tests that press it would test nothing
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # the arithmetic of tests is small, and threads that wait for each other take the cores from other tests
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto` one process more than there are cores: many tests wait for something most of the time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the real servers they use and by their folder, and run the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in SLOW_FOLDERS):
            item.add_marker(pytest.mark.slow)
        names = set(getattr(item, "fixturenames", ()))
        marks = [mark for mark, fixtures in MARKS.items() if fixtures & names]
        for mark in marks:
            if mark != "docker" or "kubernetes" not in marks or "docker_engine" in names:
                item.add_marker(getattr(pytest.mark, mark))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ORCHESTUNE_NO_SKIPS=1, as in CI, a test that cannot run has failed."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
    return report
