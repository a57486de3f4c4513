"""Images made by docker, podman and buildah, and pushed to a registry whose certificate a private authority signed."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import get_args

import pytest

from orchestune.errors import OrchestuneError
from orchestune.images.builds import prepare
from orchestune.images.builds.tools import Kind, Tool
from orchestune.images.registries.registry import Registry as Client
from tests.integration.images.base import own_platform, push_base
from tests.testbeds.docker import Engine
from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.machine import Broken
from tests.testbeds.registry import Registry

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.timeout(600)]
INSTALL = ["cat requirements.txt > /installed"]
DOCKERFILE = "FROM {base}\nCOPY model.c /model.c\nRUN cat /model.c > /built\n"


def own_address() -> str:
    """An address of this host which is not a loopback one: there registries have TLS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    new_authority = Authority.create(tmp_path / "authority")
    new_authority.issue("registry", "registry", hosts=[own_address()])
    return new_authority


@pytest.fixture
def place(registry: Registry, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> str:
    """The registry with TLS, which this program trusts."""
    secure_address = registry.secure(own_address(), *(authority.folder / f"registry.{kind}" for kind in ("crt", "key")))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.folder / "ca.crt"))
    return secure_address


@pytest.fixture
def trusted_by_docker(docker_engine: Engine, authority: Authority, place: str) -> None:
    """Inside of the engine's machine alone."""
    folder = f"/etc/docker/certs.d/{place}"
    mounted = "mkdir -p /run/etc-docker && mount --bind /run/etc-docker /etc/docker"
    docker_engine.machine.run("sh", "-c", f"mountpoint -q /etc/docker || ({mounted})")
    docker_engine.machine.run("sh", "-c", f"mkdir -p {folder} && cp {authority.folder}/ca.crt {folder}/ca.crt")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    (folder / "model.c").write_text("int main(void) { return 0; }\n")
    return folder


@pytest.fixture(params=get_args(Kind))
def tool(
    request: pytest.FixtureRequest, tmp_path: Path, place: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Tool:
    """One of them, with a store of its own, which trusts the registry as its documentation says."""
    kind: Kind = request.param
    if kind == "docker":
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
        monkeypatch.setenv("DOCKER_HOST", request.getfixturevalue("docker_engine").url)
        request.getfixturevalue("trusted_by_docker")
    else:
        if not shutil.which(kind):
            raise Broken(f"this takes {kind}: apt-get install {kind}")
        trusted = tmp_path / "home" / ".config" / "containers" / "certs.d" / place
        trusted.mkdir(parents=True)
        shutil.copy(authority.folder / "ca.crt", trusted / "ca.crt")
        storage = tmp_path / "storage.conf"
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/run"\n')
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
        monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")  # this test may run in a container itself
    monkeypatch.setattr(prepare, "find_tool", lambda: Tool(kind))
    return Tool(kind)


def test_what_is_installed_and_a_dockerfile_are_built_and_pushed_over_tls(
    tool: Tool, place: str, project: Path, tmp_path: Path
) -> None:
    with Client(place, find=lambda _: None) as client:
        base = f"{place}/lab/base@{push_base(client, 'lab/base', tool.name, tmp_path)}"
        (project / "Dockerfile").write_text(DOCKERFILE.format(base=base))
        for install, dockerfile, file in ((INSTALL, None, "installed"), ((), "Dockerfile", "built")):
            messages: list[str] = []
            image = None if dockerfile else base
            digest = prepare.prepare_image(image, install, dockerfile, project, place, own_platform(), messages.append)
            assert digest.startswith(f"{place}/orchestune@sha256:"), messages
            assert f"with {tool.name}" in messages[0]
            again: list[str] = []
            assert (
                prepare.prepare_image(image, install, dockerfile, project, place, own_platform(), again.append)
                == digest
            )
            assert [line.split()[0] for line in again] == ["found"], file


def test_a_registry_that_the_builder_does_not_trust_is_told_with_what_to_do(
    docker_engine: Engine, place: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    monkeypatch.setattr(prepare, "find_tool", lambda: Tool("docker"))
    with Client(place, find=lambda _: None) as client:
        base = f"{place}/lab/base@{push_base(client, 'lab/base', 'untrusted', tmp_path)}"
    with pytest.raises(OrchestuneError) as caught:
        prepare.prepare_image(base, INSTALL, None, project, place, own_platform(), lambda _: None)
    assert "x509" in caught.value.message
    assert f"/etc/docker/certs.d/{place}/ca.crt" in (caught.value.hint or "")
