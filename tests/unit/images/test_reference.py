"""Names of images, read as Docker reads them."""

from __future__ import annotations

import pytest

from orchestune.errors import BadInput
from orchestune.images.registries.reference import PushTarget, Reference, is_loopback, parse, parse_place, server

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python", Reference("docker.io", "library/python", "latest")),
        ("python:3.12-slim", Reference("docker.io", "library/python", "3.12-slim")),
        ("index.docker.io/python", Reference("docker.io", "library/python", "latest")),
        ("team/model", Reference("docker.io", "team/model", "latest")),
        ("ghcr.io/team/deep/model:1", Reference("ghcr.io", "team/deep/model", "1")),
        ("registry.lab:5000/model", Reference("registry.lab:5000", "model", "latest")),
        ("localhost/model", Reference("localhost", "model", "latest")),
        ("[::1]:5000/model:1", Reference("[::1]:5000", "model", "1")),
        (f"python@{DIGEST}", Reference("docker.io", "library/python", None, DIGEST)),
        (f"127.0.0.1:5000/m:1@{DIGEST}", Reference("127.0.0.1:5000", "m", "1", DIGEST)),
    ],
)
def test_a_reference_is_read_as_docker_does(text: str, expected: Reference) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "invalid repository name"),
        ("Model", "capital letters"),
        ("ghcr.io/Team/model", "capital letters"),
        ("python:", "invalid tag"),
        ("python:a b", "invalid tag"),
        ("python@sha256:12", "invalid digest"),
        ("https://registry.lab/model", "invalid repository name|invalid registry"),
        ("-lab.example/model", "invalid registry"),
    ],
)
def test_what_is_no_reference_is_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as caught:
        parse(text)
    assert "python:3.12-slim" in caught.value.hint or "python:3.12-slim" in str(caught.value)


def test_by_digest_the_tag_is_gone() -> None:
    assert str(parse("python:3.12").at(DIGEST)) == f"docker.io/library/python@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.lab:5000", PushTarget("registry.lab:5000")),
        ("registry.lab:5000/", PushTarget("registry.lab:5000")),
        ("https://ghcr.io/team/x", PushTarget("ghcr.io", "team/x")),
        ("http://registry.lab:5000", PushTarget("registry.lab:5000", "", True)),
        ("index.docker.io/team", PushTarget("docker.io", "team")),
    ],
)
def test_where_images_are_pushed_may_have_a_path_and_be_without_tls(text: str, expected: PushTarget) -> None:
    assert parse_place(text) == expected


@pytest.mark.parametrize("text", ["", "ftp://lab", "registry.lab:5000/Team", "a b", "http://"])
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="invalid registry: "):
        parse_place(text)


def test_a_place_names_its_repositories() -> None:
    assert parse_place("ghcr.io/team").repository("orchestune") == "team/orchestune"
    assert parse_place("ghcr.io").repository("orchestune") == "orchestune"


def test_only_this_machine_is_spoken_to_without_tls() -> None:
    own = ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3", "[::1]:5000", "registry.localhost:5000"]
    others = ["registry.lab:5000", "docker.io", "10.0.0.1:5000", "localhost.example.org", "[fe80::1]:5000"]
    assert [name for name in own + others if is_loopback(name)] == own


def test_docker_hub_answers_under_another_name() -> None:
    assert (server("docker.io"), server("ghcr.io")) == ("registry-1.docker.io", "ghcr.io")
