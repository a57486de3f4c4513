"""Requests to registries before anything starts in a cluster."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from platform import machine
from typing import Any

import pytest

from orchestune.cli.clusters.image import note_registry, platforms, server_image
from orchestune.cli.experiments.image import node_platforms, pinned
from orchestune.cli.experiments.prepare import prepared_from
from orchestune.cli.terminal.console import Console
from orchestune.client.clusters import Clusters
from orchestune.clusters.existing import plan
from orchestune.clusters.existing.config import ConnectionSettings
from orchestune.config.experiment_file import load
from orchestune.domain.resources.placement import Placement
from orchestune.errors import BadInput, Denied
from orchestune.images.registries import credentials
from orchestune.images.registries.manifests import ARCHITECTURE, Platform, parse_platform
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.registry import Registry
from tests.testbeds.ports import free_port
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_api_server import FakeApiServer
from tests.unit.clusters.world import Manifest, World
from tests.unit.images.fake_registry import FakeRegistry, fake_registry

EXPERIMENT = """\
name: Small model
image: {image}
run: python model.py
parameters: {{alpha: 0.0..1.0}}
metrics: {{accuracy: maximize}}
budget: 4
"""
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as server:
        server.anonymous = True
        yield server


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who has nothing but a state folder."""
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    os.mkdir(tmp_path / "home")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path: Path, cli: Callable[..., Result]) -> Callable[[str], Result]:
    """`orchestune run` of an image in a cluster that knows nothing else; nothing may be made there."""

    def ask(image: str) -> Result:
        (tmp_path / "experiment.yml").write_text(EXPERIMENT.format(image=image))
        with FakeApiServer(1) as api:
            Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
            result = cli("run", "--cluster", "lab", "--detach")
            assert not [line for line in api.asked if line.split()[0] == "POST" and "jobs" in line]
        return result

    return ask


def test_a_digest_that_its_registry_does_not_have_is_told_before_anything_starts(
    registry: FakeRegistry, run: Callable[[str], Result]
) -> None:
    result = run(f"{registry.name}/model@{DIGEST}")
    assert (result.code, result.out) == (2, "")
    assert f"there is no image {registry.name}/model@{DIGEST}" in result.err


def test_a_digest_whose_registry_does_not_tell_this_user_is_left_to_the_nodes(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    def warning(image: str) -> str:
        console = Console(err=io.StringIO(), cluster="lab")
        (tmp_path / "experiment.yml").write_text(EXPERIMENT.format(image=image))
        with FakeApiServer(1) as api:
            Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
            prepared = pinned(console, prepared_from(load(tmp_path / "experiment.yml")))
        assert prepared.placement.image == image
        return console.err.getvalue()  # type: ignore[attr-defined, no-any-return]

    registry.anonymous = False
    image = f"{registry.name}/model@{DIGEST}"
    assert f"{image} cannot be resolved from here (the registry {registry.name} does not let" in warning(image)
    away = f"127.0.0.1:{free_port()}/model@{DIGEST}"
    assert f"{away} cannot be resolved from here" in warning(away)


def test_a_registry_that_does_not_answer_is_told_where_it_is_named(registry: FakeRegistry) -> None:
    def warning(address: str) -> str:
        console = Console(err=io.StringIO())
        note_registry(console, ConnectionSettings("lab", "ml", registry=address))
        return console.err.getvalue()  # type: ignore[attr-defined, no-any-return]

    assert warning(registry.name) == ""
    away = f"127.0.0.1:{free_port()}"
    assert f"the registry {away} cannot be reached: " in warning(
        away
    ) and "`orchestune cluster test -n lab`" in warning(away)
    registry.status = 404
    assert f"the registry {registry.name} cannot answer as registries do" in warning(registry.name)
    with pytest.raises(BadInput, match="invalid registry: "):
        warning("not an address")


def nodes(*facts: tuple[str, str]) -> list[Manifest]:
    """Of an operating system and an architecture each."""
    return [
        {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"},
            "status": {"nodeInfo": {"operatingSystem": system, "architecture": architecture}},
        }
        for number, (system, architecture) in enumerate(facts)
    ]  # fmt: skip


def test_of_mixed_nodes_those_like_this_machine_get_the_server_and_images_are_made_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = parse_platform(machine()).architecture
    other = "amd64" if own == "arm64" else "arm64"
    node_lists: list[object] = []

    def pushed(registry: object, repository: str, nodes: object, say: object, cache: object) -> Reference:
        node_lists.append(nodes)
        return Reference("registry.lab:5000", repository, None, DIGEST)

    monkeypatch.setattr("orchestune.images.runtime.server_image.push_server_image", pushed)
    console, world = Console(err=io.StringIO()), World(*nodes(("linux", other), ("linux", own)))
    settings = server_image(console, world.api, ConnectionSettings("lab", "ml", registry="registry.lab:5000"))
    assert (settings.architecture, node_lists) == (own, [[Platform(own)]])
    assert f"linux/{other} nodes get no trials" in console.err.getvalue()  # type: ignore[attr-defined]
    server_image(console, world.api, replace(settings, server_image="", architecture=other))
    assert node_lists[1:] == [[Platform(other)]]  # an upgrade from another machine moves nothing: it is refused
    moved = World(*nodes(("linux", own)))
    assert server_image(console, moved.api, replace(settings, server_image="", architecture=other)).architecture == own
    world.apply(plan.settings(replace(settings, architecture=other)))
    of_the_other = (Platform(other), {Platform(other)})
    assert node_platforms(world.api, "ml") == of_the_other  # another user's machine is of the other architecture
    assert node_platforms(world.api, "elsewhere") == (Platform(own), {Platform(own), Platform(other)})
    assert node_platforms(world.api, "elsewhere", other) == of_the_other


@pytest.mark.parametrize(
    ("node_architectures", "pod", "image_architectures", "node_selector"),
    [
        (("amd64", "arm64"), "", ("amd64", "arm64"), {}),
        (("amd64", "arm64"), "", ("arm64",), {ARCHITECTURE: "arm64"}),
        (("amd64", "arm64"), "", ("amd64",), {ARCHITECTURE: "amd64"}),
        (("arm64",), "", ("arm64",), {}),
        ((), "", ("amd64", "arm64"), {}),
        ((), "", ("amd64",), {ARCHITECTURE: "amd64"}),
        ((), "", ("arm64",), {ARCHITECTURE: "arm64"}),
        (("amd64", "arm64"), "{zone: a}", ("arm64",), {"zone": "a", ARCHITECTURE: "arm64"}),
        (("amd64", "arm64"), "{kubernetes.io/arch: amd64}", ("amd64",), {ARCHITECTURE: "amd64"}),
    ],
)
def test_trials_keep_to_the_nodes_that_their_image_is_for(
    node_architectures: Sequence[str],
    pod: str,
    image_architectures: Sequence[str],
    node_selector: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built: list[Platform] = []

    def prepare(*args: Any, **more: Any) -> str:
        built.append(args[5])
        return f"registry.lab/model@{DIGEST}"

    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("orchestune.images.builds.prepare.prepare_image", prepare)
    monkeypatch.setattr(
        "orchestune.images.builds.prepare.runs_on", lambda *_: tuple(map(Platform, image_architectures))
    )
    text = EXPERIMENT.format(image="model") + (f"pod: {{spec: {{nodeSelector: {pod}}}}}\n" if pod else "")
    (tmp_path / "experiment.yml").write_text(text)
    with FakeApiServer(1) as api:
        api.objects["/api/v1/nodes?limit=100"] = {"items": nodes(*(("linux", each) for each in node_architectures))}
        Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
        experiment = pinned(Console(err=io.StringIO(), cluster="lab"), prepared_from(load(tmp_path / "experiment.yml")))
    assert experiment.placement.pod == ({"spec": {"nodeSelector": node_selector}} if node_selector else {})
    assert built == [Platform(node_selector.get(ARCHITECTURE, "arm64"))]


def test_nodes_of_windows_take_no_images_of_ours() -> None:
    node_list = nodes(("windows", "amd64"), ("linux", "amd64"), ("linux", "arm64"))
    assert platforms(World(*node_list).api) == ["linux/amd64", "linux/arm64"]


def test_the_registry_of_a_cluster_at_aws_is_asked_as_whom_the_cluster_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins: list[tuple[str, str]] = []

    def password(registry: str, profile: str) -> None:
        logins.append((registry.partition(".")[0], profile))
        raise Denied("no")

    monkeypatch.setattr(credentials, "password", password)
    monkeypatch.setattr(Registry, "call", lambda self, *args, **more: self._login._find_credentials())
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    aws = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    (tmp_path / "experiment.yml").write_text(EXPERIMENT.format(image=f"{aws}/vision/model:1"))
    prepared = prepared_from(load(tmp_path / "experiment.yml"))
    with FakeApiServer(1) as api:
        Clusters(tmp_path / "home").add(api.cluster(tmp_path, registry=f"{aws}/vision", profile="team", cloud="aws"))
        for variables, expected in (({}, "team"), ({"AWS_PROFILE": "mine"}, "mine")):
            console = Console(err=io.StringIO(), cluster="lab", environ={**os.environ, **variables})
            with pytest.raises(Denied):
                pinned(console, prepared)
            assert logins.pop() == ("123456789012", expected)


def test_an_experiment_without_an_image_has_the_clusters_by_digest_on_the_nodes_that_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(image: str, *_: Any, **__: Any) -> str:
        return f"{image.partition(':')[0]}@{DIGEST}"

    def pinned_default(default: str | None) -> tuple[Any, str]:
        console = Console(err=io.StringIO(), cluster="lab")
        with FakeApiServer(1) as api:
            settings = plan.settings(ConnectionSettings("lab", "ml", default_image=default))
            api.objects["/api/v1/namespaces/ml/configmaps/orchestune-config"] = settings
            api.objects["/api/v1/nodes?limit=100"] = {"items": nodes(("linux", "amd64"), ("linux", "arm64"))}
            Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
            prepared = pinned(console, prepared_from(load(tmp_path / "experiment.yml")))
        return prepared.placement, console.err.getvalue()  # type: ignore[attr-defined]

    (tmp_path / "experiment.yml").write_text(EXPERIMENT.format(image="x").replace("image: x\n", ""))
    assert pinned_default(None) == (Placement(), "")
    monkeypatch.setattr("orchestune.images.builds.prepare.runs_on", lambda *_: (Platform("arm64"),))
    monkeypatch.setattr("orchestune.images.builds.prepare.prepare_image", prepare)
    pod = {"spec": {"nodeSelector": {ARCHITECTURE: "arm64"}}}
    placement, messages = pinned_default("team/base:1")
    assert placement == Placement(image=f"team/base@{DIGEST}", pod=pod) and "linux/arm64" in messages


def test_a_default_image_that_this_user_may_not_see_is_left_to_the_nodes(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.anonymous = False
    (tmp_path / "experiment.yml").write_text(EXPERIMENT.format(image="x").replace("image: x\n", ""))
    console = Console(err=io.StringIO(), cluster="lab")
    with FakeApiServer(1) as api:
        settings = plan.settings(ConnectionSettings("lab", "ml", default_image=f"{registry.name}/base:1"))
        api.objects["/api/v1/namespaces/ml/configmaps/orchestune-config"] = settings
        Clusters(tmp_path / "home").add(api.cluster(tmp_path, user="ada"))
        experiment = pinned(console, prepared_from(load(tmp_path / "experiment.yml")))
    assert experiment.placement == Placement()
    messages = console.err.getvalue()  # type: ignore[attr-defined]
    assert f"lab: its default image {registry.name}/base:1 cannot be resolved from here" in messages
