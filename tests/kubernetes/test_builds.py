"""Images that the file describes, made by a Job in the cluster: nothing on the user's machine builds any."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestune.clusters.existing import permissions
from orchestune.clusters.existing.client import ContextClient
from orchestune.clusters.existing.config import ConnectionSettings
from tests.kubernetes import test_promises as promises
from tests.kubernetes.lab import Lab, bind, kubeconfig_of
from tests.kubernetes.test_rights import allow
from tests.testbeds.images import Image
from tests.testbeds.kubernetes.cluster import Cluster
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.registry import Registry
from tests.testbeds.roots import buildah_root
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
BUILDERS = ("docker", "podman", "buildah")
SMALL = {"cpu": "100m", "memory": "64Mi"}


def without_builders(path: str, folder: Path) -> str:
    """Return the PATH without the programs that build images."""
    folder.mkdir()
    programs: dict[str, Path] = {}
    for place in reversed(path.split(os.pathsep)):
        if Path(place).is_dir():
            programs |= {program.name: program for program in Path(place).iterdir()}
    for name, program in programs.items():
        if name not in BUILDERS:
            (folder / name).symlink_to(program)
    assert not any(shutil.which(name, path=str(folder)) for name in BUILDERS)
    return str(folder)


@pytest.fixture
def lab(own_kubernetes: Cluster, namespace: str, registry: Registry, tmp_path: Path) -> Iterator[Lab]:
    """A user without any program that builds images; the cluster has one of buildah."""
    with Lab(own_kubernetes, namespace, registry) as new_lab:
        new_lab.home.env |= surroundings(new_lab.home.env, registry, tmp_path)
        try:
            yield new_lab
        finally:
            promises.client(new_lab).close()
            new_lab.run("destroy", "--yes", "--stop", "--abandon", expect=None)


@pytest.fixture
def editor(lab: Lab, own_kubernetes: Cluster, namespace: str, registry: Registry, tmp_path: Path) -> Iterator[Lab]:
    """Another one, who may do there what editors may once it is connected, and nothing else."""
    kubeconfig = kubeconfig_of(own_kubernetes, "editor", namespace, tmp_path / "editor")
    with Lab(own_kubernetes, namespace, registry, kubeconfig) as new_lab:
        new_lab.home.env |= {name: lab.home.env[name] for name in ("PATH", "ORCHESTUNE_BUILDER")}
        yield new_lab
        promises.client(new_lab).close()


def surroundings(env: Mapping[str, str], registry: Registry, folder: Path) -> dict[str, str]:
    """Return the environment of the shell of a user without local builders."""
    buildah = registry.push("testbed/buildah:1", Image(buildah_root(), command=["sh"]))
    return {"PATH": without_builders(env["PATH"], folder / "bin"), "ORCHESTUNE_BUILDER": buildah}


def installing(lab: Lab, base: str) -> Path:
    """The folder of an experiment whose image is built on this one."""
    keys = {"install": ["cp requirements.txt /installed"], "run": "cat /installed; echo score={x}"}
    folder = lab.experiment(base, budget=2, resources=SMALL, **keys)
    (folder / "requirements.txt").write_text("what was installed\n")
    return folder


def assert_built_and_found_again(lab: Lab, folder: Path, place: str) -> None:
    result = lab.home.run("run", "--detach", cwd=folder)
    assert f"with a Job in the cluster {lab.name}" in result.stderr, result.stderr
    handle = result.stdout.strip()
    assert promises.ended(lab, handle)["counts"]["completed"] == 2
    assert lab.home.run("logs", handle).stdout.count("what was installed") == 2
    assert f"found {place}/orchestune" in lab.home.run("run", "--detach", cwd=folder).stderr
    nothing_left(lab)


def nothing_left(lab: Lab) -> None:
    """Return once nothing of the build is there: the cluster removes what a Job owned, and then the Job."""
    until("all of the build to go", lambda: "build" not in " ".join(lab.ours()), describe=lab.ours)


def test_a_job_in_the_cluster_builds_what_the_file_installs(
    lab: Lab, own_kubernetes: Cluster, registry: Registry, server_image: str, shell: str
) -> None:
    place = registry.listen(own_kubernetes.host_address)  # where pods and this host reach it
    lab.connect("--server-image", server_image, "--registry", f"http://{place}")
    lab.home.run("cluster", "use", lab.name)
    assert_built_and_found_again(lab, installing(lab, f"{place}/{shell.partition('/')[2]}"), place)


def test_an_editor_with_the_documented_rights_builds_from_and_for_a_registry_of_the_authority_of_the_cluster(
    lab: Lab, editor: Lab, own_kubernetes: Cluster, registry: Registry, server_image: str, shell: str, tmp_path: Path
) -> None:
    host, authority = own_kubernetes.host_address, Authority.create(tmp_path / "authority")
    authority.issue("registry", "registry", hosts=[host])
    certificate, pair = authority.folder / "ca.crt", ("registry.crt", "registry.key")
    place = registry.secure(host, *(authority.folder / name for name in pair))
    own_kubernetes.trust(place, certificate)
    for user in (lab, editor):
        user.home.env["REQUESTS_CA_BUNDLE"] = str(certificate)
    lab.connect("--server-image", server_image, "--registry", place)
    bind(own_kubernetes, lab.namespace, "editor", "editor")
    editor.connect()
    editor.home.run("cluster", "use", editor.name)
    folder = installing(editor, f"{place}/{shell.partition('/')[2]}")

    def refused(code: int) -> str:
        errors = editor.home.run("run", "--detach", cwd=folder, expect=code).stderr
        nothing_left(lab)
        return errors

    assert "lacks rights to build an image in the cluster: create configmaps, create jobs.batch" in refused(2)
    rights = permissions.to_build(ConnectionSettings("lab", lab.namespace), login=False)
    allow(own_kubernetes, lab.namespace, "editor", rights)
    until("the rights to count", lambda: not permissions.missing(ContextClient(str(editor.kubeconfig)), rights))

    distrusted = refused(1)
    assert "does not trust a registry" in distrusted and "signed by unknown authority" in distrusted, distrusted
    assert f"add the registry's CA with `orchestune cluster connect -n {lab.name} --ca FILE`" in distrusted
    lab.run("connect", "--ca", str(certificate))
    assert_built_and_found_again(editor, folder, place)
