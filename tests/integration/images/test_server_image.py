"""The server's image, made without any image tool, pushed to a real registry and run by a real Docker Engine."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from orchestune.errors import UsageError
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.registry import Registry
from orchestune.images.runtime import private_python, server_image
from tests.testbeds.docker import Engine
from tests.testbeds.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
CLOSED: dict[str, Any] = {
    "user": "65532", "read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"],
    "network_mode": "host", "detach": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def pushed(address: str) -> Reference:
    with Registry(address, find=lambda _: None) as client:
        return server_image.push_server_image(client, "lab/server")


@pytest.fixture
def engine(docker_engine: Engine) -> Iterator[docker.DockerClient]:
    with docker_engine.client() as client:
        yield client


def ended(container: Container) -> str:
    """Wait for the end of a container that shall succeed; what it said."""
    try:
        status = container.wait(timeout=120)["StatusCode"]
        output = container.logs().decode()
        assert status == 0, output
        return output
    finally:
        container.remove(force=True)


def test_it_serves_as_nobody_with_a_read_only_root(pushed: Reference, engine: docker.DockerClient) -> None:
    engine.images.pull(str(pushed))
    port = free_port()
    arguments = ["server", "--port", str(port), "--state", "/state"]
    container = engine.containers.run(str(pushed), arguments, tmpfs={"/state": "mode=0700,uid=65532"}, **CLOSED)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                container.reload()
                assert container.status in ("created", "running") and time.monotonic() < deadline, container.logs()
                time.sleep(0.1)
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 0, container.logs()
    finally:
        container.remove(force=True)


IMPORT_ALL = """
import importlib, json, os, pkgutil, ssl, subprocess, sys
import orchestune, numpy.testing, scipy.stats, psycopg, boto3, websocket
boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
failed = []
for module in pkgutil.walk_packages(orchestune.__path__, "orchestune."):
    if not any(part in module.name for part in ("__main__", ".migrations", ".integrations.")):
        try:
            importlib.import_module(module.name)
        except Exception as exc:
            failed.append(f"{module.name}: {exc}")
child = subprocess.run([sys.executable, "-c", "import optuna; print('child')"], capture_output=True, text=True)
print(json.dumps({
    "failed": failed, "child": child.stdout + child.stderr, "root": sorted(os.listdir("/")),
    "authorities": len(ssl.create_default_context().get_ca_certs()), "uid": os.getuid(),
}))
"""


def test_every_part_can_be_imported_and_a_child_can_be_started(pushed: Reference, engine: docker.DockerClient) -> None:
    engine.images.pull(str(pushed))
    python = f"{server_image.HOME}/bin/python3"
    container = engine.containers.run(str(pushed), ["-I", "-c", IMPORT_ALL], entrypoint=python, **CLOSED)
    report = json.loads(ended(container).splitlines()[-1])
    assert report["failed"] == [] and report["child"] == "child\n"
    assert report["authorities"] > 50 and report["uid"] == 65532
    assert not {"bin", "usr", "home", "root"} & set(report["root"])


def test_an_init_container_brings_the_private_python_into_a_volume_without_a_shell(
    pushed: Reference, engine: docker.DockerClient
) -> None:
    engine.images.pull(str(pushed))
    volume = engine.volumes.create()
    try:
        mounted: dict[str, dict[str, str]] = {str(volume.name): {"bind": "/orchestune", "mode": "rw"}}
        copy = private_python.copy_command(server_image.RUNTIME, "/orchestune")
        more = {**CLOSED, "user": "0"}  # a new volume of Docker belongs to root
        output = ended(engine.containers.run(str(pushed), copy[1:], entrypoint=copy[:1], volumes=mounted, **more))
        assert "copied" in output
        mounted[str(volume.name)]["mode"] = "ro"
        ask = [
            *private_python.interpreter("/orchestune"),
            "-c",
            "import ssl, sqlite3, os; print('ran as', os.getuid())",
        ]
        container = engine.containers.run(str(pushed), ask[1:], entrypoint=ask[:1], volumes=mounted, **CLOSED)
        assert ended(container) == "ran as 65532\n"
    finally:
        volume.remove(force=True)


@pytest.mark.long
def test_it_is_found_again_by_its_cached_digest_and_a_second_build_is_equal(
    pushed: Reference, address: str, tmp_path: Path
) -> None:
    messages: list[str] = []
    with Registry(address, find=lambda _: None) as client:
        for words in ("pushed 0 MB", "found"):
            reference = server_image.push_server_image(client, "lab/server", (), messages.append, tmp_path / "digest")
            assert reference == pushed
            assert messages[-1].startswith(f"{words} to {address}/lab/server" if "MB" in words else words)


def test_nodes_of_another_kind_are_refused_before_anything_is_made(address: str) -> None:
    with Registry(address, find=lambda _: None) as client:
        with pytest.raises(UsageError, match="cannot build the server's image for linux/s390x"):
            server_image.push_server_image(client, "lab/other", [Platform("s390x")])
