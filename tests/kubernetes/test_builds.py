"""An image that the file describes, made by a Job in the cluster: nothing on the user's machine builds any."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.kubernetes import test_promises as promises
from tests.kubernetes.lab import Lab
from tests.testbeds.images import Image
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.registry import Registry
from tests.testbeds.roots import buildah_root

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
BUILDERS = ("docker", "podman", "buildah")
SMALL = {"cpu": "100m", "memory": "64Mi"}


def without_builders(path: str, folder: Path) -> str:
    """The same programs but those that build images."""
    folder.mkdir()
    found: dict[str, Path] = {}
    for place in reversed(path.split(os.pathsep)):
        if Path(place).is_dir():
            found |= {program.name: program for program in Path(place).iterdir()}
    for name, program in found.items():
        if name not in BUILDERS:
            (folder / name).symlink_to(program)
    assert not any(shutil.which(name, path=str(folder)) for name in BUILDERS)
    return str(folder)


def test_a_job_in_the_cluster_builds_what_the_file_installs(
    own_kubernetes: Cluster, namespace: str, registry: Registry, server_image: str, shell: str, tmp_path: Path
) -> None:
    place = registry.listen(own_kubernetes.host_address)  # where pods and this host reach it
    buildah = registry.push("testbed/buildah:1", Image(buildah_root(), command=["sh"]))
    with Lab(own_kubernetes, namespace, registry) as lab:
        lab.home.env["PATH"] = without_builders(lab.home.env["PATH"], tmp_path / "bin")
        lab.home.env["ORCHESTUNE_BUILDER"] = buildah
        lab.connect("--server-image", server_image, "--registry", f"http://{place}")
        lab.home.run("cluster", "use", lab.name)
        try:
            keys = {"install": ["cp requirements.txt /installed"], "run": "cat /installed; echo score={x}"}
            folder = lab.experiment(f"{place}/{shell.partition('/')[2]}", budget=2, resources=SMALL, **keys)
            (folder / "requirements.txt").write_text("what was installed\n")
            said = lab.home.run("run", "--detach", cwd=folder)
            assert f"with a Job in the cluster {lab.name}" in said.stderr, said.stderr
            handle = said.stdout.strip()
            assert promises.ended(lab, handle)["counts"]["completed"] == 2
            assert lab.home.run("logs", handle).stdout.count("what was installed") == 2
            assert f"found {place}/orchestune" in lab.home.run("run", "--detach", cwd=folder).stderr
            assert "build" not in " ".join(lab.ours()), "nothing of the build is left"
        finally:
            promises.client(lab).close()
            lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)
