"""Images, pools, volumes: what the file says of the place."""

from __future__ import annotations

import pytest

from orchestune.config.experiment_file import Loaded, parse
from orchestune.domain.resources.placement import Placement, Volume
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput

FILE_HEAD = """\
run: python train.py {args}
parameters: {x: 0..1}
metrics: {loss: minimize}
budget: 3
"""


def read(text: str) -> Loaded:
    return parse(FILE_HEAD + text, "experiment.yml")


def test_what_the_file_says_of_the_place_reaches_the_specification() -> None:
    loaded = read(
        "image: registry.example.org:5000/team/model:1.2\n"
        "pool: a100\nqueue: team\nservice_account: trainer\npriority_class: low\nshm: 2Gi\n"
        "volumes: [{claim: data, mount: /data, read_only: true}, {path: /scratch, mount: /scratch}]\n"
        "pod: {spec: {hostNetwork: true, tolerations: [{key: spot, operator: Exists}]}}\n"
    )
    assert loaded.specification.placement == Placement(
        image="registry.example.org:5000/team/model:1.2",
        pool="a100",
        queue="team",
        service_account="trainer",
        priority_class="low",
        shm=2 << 30,
        volumes=(Volume("/data", claim="data", read_only=True), Volume("/scratch", path="/scratch")),
        pod={"spec": {"hostNetwork": True, "tolerations": [{"key": "spot", "operator": "Exists"}]}},
    )
    assert Specification.from_json(loaded.specification.to_json()) == loaded.specification
    assert not loaded.build


@pytest.mark.parametrize("written", ["pip install torch", "[pip install torch]"])
def test_install_is_one_command_or_several(written: str) -> None:
    loaded = read(f"image: python:3.12-slim\ninstall: {written}\n")
    assert loaded.build.install == ("pip install torch",)
    assert loaded.specification.placement.image == "python:3.12-slim"


def test_a_dockerfile_takes_the_place_of_the_image() -> None:
    assert read("dockerfile: docker/Dockerfile\n").build.dockerfile == "docker/Dockerfile"
    with pytest.raises(BadInput, match=r"5:13: dockerfile: builds the image"):
        read("dockerfile: Dockerfile\nimage: python\n")


@pytest.mark.parametrize(
    "name",
    ["python", "python:3", "127.0.0.1:5000/x:1", "ghcr.io/a/b_c/d-e@sha256:" + "0" * 64, "localhost/x", "a/b:c_D.e-f"],
)
def test_names_of_images(name: str) -> None:
    assert read(f"image: '{name}'\n").specification.placement.image == name


@pytest.mark.parametrize("name", ["Python:3", "a b", "x:", "x@sha256:12", "https://x/y", "-x", "x//y"])
def test_what_is_no_name_of_an_image(name: str) -> None:
    with pytest.raises(BadInput, match="expected the name of an image"):
        read(f"image: '{name}'\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("volumes: [{mount: /data}]", "5:11: volumes[0]: needs exactly one of `claim` and `path`"),
        ("volumes: [{mount: data, claim: x}]", "volumes[0].mount: found 'data', expected an absolute path"),
        ("pod: [1]", "5:6: pod: found a list, expected a mapping"),
        ("pod: {a: .nan}", "pod.a"),
        ("pool: My Pool", "5:7: pool: found 'My Pool'"),
        ("docker_image: x", "did you mean image?"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(text + "\n")
    assert message in str(caught.value)
