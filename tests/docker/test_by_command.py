"""`run` and `test` with `--cluster docker`: the image that the file names or describes, and nothing left of a test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.testbeds import docker_images
from tests.testbeds.docker import Engine
from tests.testbeds.home import Home

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture
def home(docker_engine: Engine) -> Iterator[Home]:
    with Home(DOCKER_HOST=docker_engine.url) as user_home:
        yield user_home


@pytest.fixture(scope="session")
def busybox(docker_engine: Engine) -> str:
    """An image that no registry has."""
    return docker_images.load(docker_engine, "test-busybox:1", docker_images.busybox())


def project(folder: Path, **keys: Any) -> Path:
    document = {
        "name": "shell",
        "run": "sh -c 'cat words; cat data/big; echo score={x}'",
        "parameters": {"x": "0.0..1.0"},
        "metrics": {"score": "maximize"},
        "budget": 3,
        "parallelism": 2,
        "engine": "random",
        **keys,
    }
    (folder / "experiment.yml").write_text(json.dumps(document))
    (folder / "words").write_text("packed words\n")
    (folder / "data").mkdir()
    (folder / "data" / "big").write_text("mounted words\n")
    (folder / ".gitignore").write_text("data/\n")
    return folder


def test_an_experiment_runs_in_containers_and_is_found_again(home: Home, busybox: str, tmp_path: Path) -> None:
    folder = project(tmp_path, image=busybox)
    output = home.run("run", "--cluster", "docker", cwd=folder).stdout
    assert "where      this machine, in containers" in output
    assert "image      sha256:" in output
    assert "mounted from this folder read-only, not packed: data" in output
    status = home.json("status", home.json("status")[0]["handle"])
    assert (status["cluster"], status["counts"]["completed"]) == ("docker", 3)
    logs = home.run("logs", cwd=folder).stdout
    assert logs.count("packed words") == logs.count("mounted words") == 3


def test_a_test_shows_one_configuration_and_leaves_nothing(home: Home, busybox: str, tmp_path: Path) -> None:
    folder = project(tmp_path, image=busybox)
    output = home.run("test", "--cluster", "docker", "-p", "x=0.25", cwd=folder).stdout
    assert "packed words\nmounted words\nscore=0.25\n" in output
    assert "metric   score 0.25" in output
    failed = home.run("test", "--cluster", "docker", "--set", "run=sh -c 'exit 3'", cwd=folder, expect=1).stdout
    assert "exited with code 3" in failed
    assert home.json("status") == []


def test_a_test_runs_on_the_warm_worker_of_the_one_before_with_new_code(
    home: Home, docker_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    folder = project(tmp_path, image=busybox)
    first = home.run("test", "--cluster", "docker", cwd=folder)
    assert "no suitable idle worker in docker: starting one" in first.stderr
    assert "on a warm worker" not in first.stdout
    (folder / "words").write_text("new words\n")
    second = home.run("test", "--cluster", "docker", "--set", "run=sh -c 'cat words; echo score=1'", cwd=folder)
    assert "new words" in second.stdout and "on a warm worker" in second.stdout
    assert "starting one" not in second.stderr
    with docker_engine.client() as client:
        identity = (home.folder / "docker" / "identity").read_text()
        [worker] = client.containers.list(filters={"label": f"orchestune.dev/state={identity}"})
        worker.kill()
    third = home.run("test", "--cluster", "docker", cwd=folder)
    assert "on a warm worker" not in third.stdout and "metric   score" in third.stdout


def test_a_dry_run_prints_the_container_and_starts_nothing(
    home: Home, docker_engine: Engine, busybox: str, tmp_path: Path
) -> None:
    folder = project(tmp_path, image=busybox, resources={"memory": "128Mi"})
    output = home.run("run", "--cluster", "docker", "--dry-run", cwd=folder).stdout
    assert "nothing was started" in output and "each worker would be a container" in output
    [container] = home.json("run", "--cluster", "docker", "--dry-run", cwd=folder)["objects"]
    assert (container["Image"], container["HostConfig"]["Memory"]) == (busybox, 2**27)
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    mounted = {mount["Target"] for mount in container["HostConfig"]["Mounts"]}
    assert str(folder / "data") in mounted or str(folder / "data" / "big") in mounted
    assert home.json("status") == []
    with docker_engine.client() as client:
        assert [existing for existing in client.containers.list(all=True) if existing.name == container["name"]] == []


def test_what_has_to_be_installed_is_built_once_into_an_image(home: Home, busybox: str, tmp_path: Path) -> None:
    keys = {
        "image": busybox,
        "install": "echo installed words > /installed",
        "run": "sh -c 'cat /installed; echo score={x}'",
    }
    folder = project(tmp_path, **keys)
    first = home.run("run", "--cluster", "docker", cwd=folder)
    assert "building an image" in first.stderr
    again = home.run("run", "--cluster", "docker", cwd=folder)
    assert "building an image" not in again.stderr
    assert home.run("logs", cwd=folder).stdout.count("installed words") == 3


def test_an_experiment_without_an_image_is_refused_with_a_proposal(home: Home, tmp_path: Path) -> None:
    folder = project(tmp_path)
    (folder / "requirements.txt").write_text("numpy\n")
    failed = home.run("run", "--cluster", "docker", cwd=folder, expect=2).stderr
    assert "no image for the container in the experiment file" in failed
    assert "install: pip install -r requirements.txt" in failed
