"""The examples that take a cluster, on a real one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.lab import Lab
from tests.testbeds.images import Image, root_with
from tests.testbeds.kubernetes.access import Access
from tests.testbeds.machine import checked
from tests.testbeds.registry import Registry
from tests.testbeds.roots import python_root

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.timeout(600), pytest.mark.long]


@pytest.fixture
def lab(kubernetes: Access, namespace: str, registry: Registry, server_image: str) -> Iterator[Lab]:
    with Lab(kubernetes, namespace, registry) as new_lab:
        new_lab.connect("--server-image", server_image)
        new_lab.home.run("cluster", "use", new_lab.name)
        yield new_lab
        new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


def images(registry: Registry, folder: Path) -> dict[str, list[str]]:
    """The image of each example; for the last one, the program that its Dockerfile builds."""
    python = registry.push("examples/python:1", Image(python_root(), user="65534"))
    program = folder / "ackley"
    checked(["gcc", "-static", "-O2", "-o", str(program), str(EXAMPLES / "10-no-shell/ackley.c"), "-lm"])
    bare = registry.push("examples/ackley:1", Image(root_with(folder / "root.tar", {"ackley": program})))
    return {
        "08-own-image": ["--set", f"image={python}"],
        "09-two-gpus": ["--set", f"image={python}"],
        "10-no-shell": ["--set", "dockerfile=null", "--set", f"image={bare}"],
    }


def test_the_examples_for_clusters_complete_their_budgets(lab: Lab, registry: Registry, tmp_path: Path) -> None:
    for name, options in images(registry, tmp_path).items():
        project = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
        lab.home.run("run", *options, cwd=project)
        [newest] = lab.home.json("status", cwd=project)[:1]
        status = lab.home.json("status", newest["handle"])
        assert status["counts"]["completed"] == status["budget"], name
        if name == "09-two-gpus":
            assert {worker["node"] for worker in status["workers"] if worker["succeeded"]} == {"gpu1"}
            assert "/dev/shm: 64 MiB" in lab.home.run("logs", newest["handle"]).stdout
