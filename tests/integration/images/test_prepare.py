"""Images built by a real Docker Engine, found again in a real registry, and looked through layer by layer."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from orchestune.errors import BadInput, NotFound, OrchestuneError, Unreachable, UsageError
from orchestune.images.builds.build import Plan, Say
from orchestune.images.builds.prepare import prepare_image
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import parse
from orchestune.images.registries.registry import Registry
from tests.integration.images.base import own_platform, push_base
from tests.testbeds.docker import Engine

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]
CODE, TOKEN, SECRET = "the-code-of-the-model", "token-of-the-user", "secret-of-the-experiment"


@pytest.fixture
def client(address: str) -> Iterator[Registry]:
    with Registry(address, find=lambda _: None) as client:
        yield client


@pytest.fixture
def base(client: Registry, tmp_path: Path) -> str:
    (tmp_path / "base").mkdir()
    push_base(client, "lab/base", "1", tmp_path / "base")
    return f"{client.name}/lab/base:1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with code, secrets, and files that installing needs."""
    folder = tmp_path / "project"
    for name, text in {
        "train.py": f"print('{CODE}')",
        ".env": f"TOKEN={TOKEN}",
        "requirements.txt": "numpy\n",
        "native/model.c": "int main(void) { return 0; }\n",
        "native/.env": f"TOKEN={TOKEN}",
        "Dockerfile": "FROM {base}\nCOPY native /native\nRUN cat /native/model.c > /built\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def surroundings(docker_engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_engine.url)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("ORCHESTUNE_TOKEN", TOKEN)
    monkeypatch.setenv("SECRET_OF_MINE", SECRET)


def prepare(
    registry: str, folder: Path, image: str | None, install: str | Sequence[str] = (), dockerfile: str | None = None
) -> tuple[str, list[str]]:
    messages: list[str] = []
    return prepare_image(image, install, dockerfile, folder, registry, own_platform(), messages.append), messages


def output_of(docker_engine: Engine, image: str, command: list[str]) -> bytes:
    """Return the output of a program of an image."""
    with docker_engine.client() as engine:
        container = engine.containers.run(image, command, detach=True, network_mode="none")
        try:
            assert container.wait(timeout=120)["StatusCode"] == 0, container.logs()
            return container.logs()
        finally:
            container.remove(force=True)


def contents(client: Registry, reference: str) -> dict[str, bytes]:
    """Everything that is in an image, by layer and path; manifest and configuration too."""
    image = parse(reference)
    manifest = client.manifest(image.repository, image.version)
    files = {"manifest": manifest.body}
    document = manifest.document
    files["config"] = b"".join(client.blob(image.repository, document["config"]["digest"]))
    for number, entry in enumerate(document["layers"]):
        data = b"".join(client.blob(image.repository, entry["digest"]))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                files[f"{number}/{member.name}"] = file.read() if file else b""
    return files


def test_an_image_that_exists_is_pinned_and_stays_what_it_was_when_its_tag_moves(
    client: Registry, base: str, project: Path, tmp_path: Path
) -> None:
    first, messages = prepare(client.name, project, base)
    assert first == f"{client.name}/lab/base@{client.find('lab/base', '1')}" and messages == []
    (tmp_path / "moved").mkdir()
    push_base(client, "lab/base", "1", tmp_path / "moved", marker="moved")
    moved, _ = prepare(client.name, project, base)
    assert moved != first
    assert prepare(client.name, project, first)[0] == first


def test_what_is_installed_is_built_once_and_found_again_until_something_changes(
    client: Registry, base: str, project: Path, docker_engine: Engine
) -> None:
    install = ["cat requirements.txt > /installed", "mkdir /more"]
    built, messages = prepare(client.name, project, base, install)
    assert built.startswith(f"{client.name}/orchestune@sha256:")
    assert any("building" in line for line in messages)
    files = contents(client, built)
    assert [data for name, data in files.items() if name.endswith("/installed")] == [b"numpy\n"]

    (project / "train.py").write_text("print('another line')")
    again, messages = prepare(client.name, project, base, install)
    assert again == built and [line.split()[0] for line in messages] == ["found"]

    (project / "requirements.txt").write_text("scipy\n")
    other, messages = prepare(client.name, project, base, install)
    assert other != built and "building" in messages[0]
    assert output_of(docker_engine, other, ["/bin/cat", "/installed"]) == b"scipy\n"


def test_no_token_secret_or_code_is_in_any_layer(client: Registry, base: str, project: Path) -> None:
    (project / "Dockerfile").write_text(f"FROM {base}\nCOPY native /native\nRUN cat /native/model.c > /built\n")
    images = [
        prepare(client.name, project, base, "cat requirements.txt; env > /environment; ls -aR > /seen")[0],
        prepare(client.name, project, None, "cat requirements.txt", "Dockerfile")[0],
    ]
    for image in images:
        files = contents(client, image)
        assert any(name.endswith("requirements.txt") for name in files)
        for name, data in files.items():
            assert not name.endswith((".env", "train.py")), name
            for word in (CODE, TOKEN, SECRET):
                assert word.encode() not in data, (name, word)
    assert any(name.endswith("/built") for name in contents(client, images[1]))


def test_an_image_of_another_user_installs_as_root_and_runs_as_that_user(
    client: Registry, project: Path, tmp_path: Path, docker_engine: Engine
) -> None:
    (tmp_path / "base").mkdir()
    push_base(client, "lab/user", "1", tmp_path / "base", user="1234:1234")
    built, _ = prepare(client.name, project, f"{client.name}/lab/user:1", "id -u > /installed-by")
    assert output_of(docker_engine, built, ["/bin/sh", "-c", "id -u; cat /installed-by"]) == b"1234\n0\n"


def test_a_step_that_fails_shows_its_output(client: Registry, base: str, project: Path) -> None:
    with pytest.raises(OrchestuneError, match="no-such-program") as caught:
        prepare(client.name, project, base, ["cat requirements.txt", "no-such-program"])
    assert "install" in caught.value.hint


def test_what_does_not_exist_or_runs_elsewhere_is_refused_before_anything_is_built(
    client: Registry, base: str, project: Path
) -> None:
    with pytest.raises(NotFound, match="lab/nothing:1"):
        prepare(client.name, project, f"{client.name}/lab/nothing:1", "true")
    with pytest.raises(UsageError, match=f"it is for {own_platform()}, they are linux/s390x"):
        prepare_image(base, (), None, project, client.name, Platform("s390x"), print)
    with pytest.raises(BadInput, match=r"missing\.Dockerfile: dockerfile: cannot be read"):
        prepare(client.name, project, None, (), "missing.Dockerfile")


def test_without_a_registry_the_image_stays_in_the_engine_of_this_machine(
    client: Registry, base: str, project: Path, docker_engine: Engine
) -> None:
    def prepare_here(image: str) -> tuple[str, list[str]]:
        messages: list[str] = []
        install = ["cat requirements.txt >> /installed"]
        return prepare_image(image, install, None, project, None, own_platform(), messages.append), messages

    first, messages = prepare_here(base)  # from the registry
    assert first.startswith("sha256:") and "building" in messages[0]
    assert output_of(docker_engine, first, ["/bin/cat", "/installed"]) == b"numpy\n"
    again, messages = prepare_here(base)
    assert again == first and [line.split()[0] for line in messages] == ["found"]

    with docker_engine.client() as engine:  # an image that no registry has
        engine.images.get(first).tag("mine", "1")
    second, _ = prepare_here("mine:1")
    assert output_of(docker_engine, second, ["/bin/cat", "/installed"]) == b"numpy\nnumpy\n"
    with pytest.raises(UsageError, match="the image mine:1 does not run on the nodes"):
        prepare_image("mine:1", "true", None, project, None, Platform("s390x"), print)


def test_without_a_registry_and_an_engine_nothing_is_built(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(Unreachable, match="docker does not answer"):
        prepare_image("mine:1", "true", None, project, None, own_platform(), print)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="docker is not installed"):
        prepare_image("mine:1", "true", None, project, None, own_platform(), print)


class Elsewhere:
    """A builder that is not on this machine."""

    name = "a job in the cluster"

    def __init__(self, client: Registry, folder: Path) -> None:
        self._client, self._folder, self._path = client, folder, os.environ["PATH"]
        self.plans: list[Plan] = []

    def build(self, plan: Plan, say: Say) -> None:
        self.plans.append(plan)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", self._path)
            push_base(self._client, plan.target.repository, str(plan.target.tag), self._folder)


def test_without_a_tool_here_the_cluster_builds(
    client: Registry, base: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Elsewhere(client, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    arguments = (base, "cat requirements.txt # in the cluster", None, project, f"{client.name}/team", own_platform())
    with pytest.raises(UsageError, match="neither docker, podman nor buildah is available"):
        prepare_image(*arguments, print)
    built = prepare_image(*arguments, print, builder=elsewhere)
    [plan] = elsewhere.plans
    assert built.startswith(f"{client.name}/team/orchestune@sha256:") and list(plan.files) == ["requirements.txt"]
    assert plan.plain  # podman and buildah, unlike docker, do not know it of a registry of this machine
    assert plan.dockerfile.startswith(f"FROM {client.name}/lab/base@sha256:")
