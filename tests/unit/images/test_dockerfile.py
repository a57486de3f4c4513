"""Dockerfiles made and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.errors import BadInput
from orchestune.images.builds.dockerfile import after_dockerfile, bases, for_install, pin, sources
from orchestune.images.builds.recipe import Base, recipe

BASE = "docker.io/library/python@sha256:" + "a" * 64
OTHER = "ghcr.io/astral-sh/uv@sha256:" + "b" * 64

EXPECTED_RECIPE = f"""\
FROM {BASE}
WORKDIR /orchestune-install
COPY ["constraints.txt", "/orchestune-install/constraints.txt"]
COPY ["requirements/base.txt", "/orchestune-install/requirements/base.txt"]
RUN ["/bin/sh", "-ec", "pip install -r requirements/base.txt -c constraints.txt"]
RUN ["/bin/sh", "-ec", "echo \\"it's\\" done"]
WORKDIR /
"""

OWN = """\
# syntax=docker/dockerfile:1
ARG VERSION=3.12
FROM --platform=$BUILDPLATFORM python:${VERSION} AS Build
COPY --chown=1:1 requirements.txt \\
     other.txt ./
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /bin/
ADD https://example.org/x.tar /x/
ADD ["a file", "/x"]
FROM build
COPY --from=Build /x /y
COPY --from=0 /x /z
COPY csrc /csrc
FROM scratch
"""


MOUNTING = """\
FROM python:3.12-slim
RUN --mount=type=cache,target=/var/cache/uv \\
    --mount=type=bind,source=uv.lock,target=uv.lock --mount=src=pyproject.toml,target=pyproject.toml \\
    --mount=from=ghcr.io/astral-sh/uv:0.9,source=/uv,target=/bin/uv uv sync --frozen
RUN --mount=type=secret,id=key --mount=type=bind,from=python:3.12-slim,target=/x --mount=type=tmpfs,target=/y true
"""

WITH_TEXTS = """\
FROM python:3.12-slim
RUN <<EOF
python - <<-'END'
from torch import nn
END
add . /x
EOF
# RUN <<EOF
COPY <<-one <<two \\
     /x/
\tfrom one
\tone
from two
two
RUN echo $((1 << 3)) <<<EOF
COPY r.txt /r.txt
"""


def test_install_commands_are_steps_over_a_pinned_image() -> None:
    files = ["requirements/base.txt", "constraints.txt"]
    commands = ["pip install -r requirements/base.txt -c constraints.txt", 'echo "it\'s" done']
    assert for_install(BASE, commands, files) == EXPECTED_RECIPE


def test_an_image_of_another_user_is_changed_by_root_and_given_back() -> None:
    lines = for_install(BASE, ["true"], [], user="1000:100").splitlines()
    assert lines[1] == "USER 0" and lines[-1] == "USER 1000:100"


def test_install_commands_may_follow_a_dockerfile_of_the_users_own() -> None:
    text = after_dockerfile("FROM x\nUSER 5", ["pip install y"], ["r.txt"])
    assert text.startswith("FROM x\nUSER 5\nWORKDIR /orchestune-install\nCOPY ")
    assert text.count("FROM") == 1
    assert after_dockerfile("FROM x\n", [], []) == "FROM x\n"


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("FROM jupyter\nRUN true\n", "jovyan"),
        ("FROM python\nRUN useradd app\nUSER app:staff\nRUN true\nUSER 1000\n", "1000"),
        ("FROM jupyter\nUSER root\n", ""),
        ("FROM jupyter AS Base\nUSER app\nFROM python AS tools\nFROM --platform=$BUILDPLATFORM base\n", "app"),
        ("FROM jupyter AS base\nFROM python\nCOPY --from=base /x /x\n", ""),
    ],
)
def test_install_commands_after_a_dockerfile_run_as_root_and_give_the_image_back(
    text: str, user: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    users = {"jupyter": "jovyan"}
    text_with_installs, _ = recipe(
        "", ["apt-get update"], "Dockerfile", tmp_path, lambda name: Base(name, users.get(name, ""))
    )
    after = text_with_installs.removeprefix(text).splitlines()
    assert (after[0], after[-1]) == (
        ("USER 0", f"USER {user}") if user else ("WORKDIR /orchestune-install", "WORKDIR /")
    )
    assert recipe("", [], "Dockerfile", tmp_path, lambda name: Base(name, users.get(name, "")))[0] == text


def test_images_from_outside_are_found_and_stages_are_none() -> None:
    assert bases(OWN) == ["python:3.12", "ghcr.io/astral-sh/uv:0.9"]
    assert bases("FROM scratch\n") == []


def test_images_from_outside_are_pinned_and_nothing_else_changes() -> None:
    pinned = pin(OWN, {"python:3.12": BASE, "ghcr.io/astral-sh/uv:0.9": OTHER})
    assert pinned.splitlines()[2] == f"FROM --platform=$BUILDPLATFORM {BASE} AS Build"
    assert pinned.splitlines()[5] == f"COPY --from={OTHER} /uv /bin/"
    changed = [line for line, before in zip(pinned.splitlines(), OWN.splitlines(), strict=True) if line != before]
    assert len(changed) == 2


@pytest.mark.parametrize(("text", "image"), [
    ("FROM python:${V:-3.12}", "python:3.12"),
    ("ARG V\nFROM python:${V:-3.12}", "python:3.12"),
    ("ARG V=3.11\nFROM python:${V:-3.12}${SLIM:+-slim}", "python:3.11"),
    ("ARG SLIM=yes\nFROM python:3${SLIM:+-slim}", "python:3-slim"),
    ("ARG REGISTRY=lab:5000\nARG BASE=${REGISTRY}/python\nFROM $BASE:3", "lab:5000/python:3"),
    ('ARG NAME="python" V=\'3\'\nARG V\nFROM $NAME:$V', "python:3"),
    ("ARG \\\n  V=3\nFROM --platform=$BUILDPLATFORM python:$V AS a\nARG V=4\nFROM a", "python:3"),
])  # fmt: skip
def test_a_base_is_found_through_variables_and_their_defaults(text: str, image: str) -> None:
    assert bases(text) == [image]
    assert f"FROM {BASE}" in pin(text, {image: BASE}).replace("--platform=$BUILDPLATFORM ", "")


def test_a_dockerfile_may_begin_with_the_mark_that_editors_of_windows_write(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3\n", encoding="utf-8-sig")
    assert recipe("", [], "Dockerfile", tmp_path, lambda name: Base(BASE)) == (f"FROM {BASE}\n", {})


def test_what_is_copied_from_the_folder_is_found_with_its_line() -> None:
    assert [(source.path, source.line) for source in sources(OWN)] == [
        ("requirements.txt", 4),
        ("other.txt", 4),
        ("a file", 8),
        ("csrc", 12),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("RUN true\n", "Dockerfile: has no base image"),
        ("ARG X\nFROM python:${X}\n", "Dockerfile:2: .*unknown before the build"),
        ("ARG V=3\nFROM python:$V\nFROM tools-$TARGETARCH\n", "Dockerfile:3: .*unknown before the build"),
        ("FROM python\nCOPY [broken, /x]\n", "Dockerfile:2: .*cannot be parsed"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        (bases(text), sources(text))


def test_what_a_step_mounts_is_found_as_what_it_copies() -> None:
    assert [(source.path, source.line) for source in sources(MOUNTING)] == [("uv.lock", 2), ("pyproject.toml", 2)]
    assert sources(MOUNTING)[0].text == "--mount=type=bind,source=uv.lock,target=uv.lock"
    assert [source.path for source in sources("FROM x\nRUN --mount=type=bind,target=/src make\n")] == ["."]
    assert bases(MOUNTING) == ["python:3.12-slim", "ghcr.io/astral-sh/uv:0.9"]
    pinned = pin(MOUNTING, {"python:3.12-slim": BASE, "ghcr.io/astral-sh/uv:0.9": OTHER})
    assert f"--mount=from={OTHER},source=/uv,target=/bin/uv uv sync" in pinned
    assert f"--mount=type=bind,from={BASE},target=/x" in pinned


def test_text_that_stands_in_a_dockerfile_is_no_instruction() -> None:
    assert bases(WITH_TEXTS) == ["python:3.12-slim"]
    assert [source.path for source in sources(WITH_TEXTS)] == ["r.txt"]
    assert pin(WITH_TEXTS, {"python:3.12-slim": BASE}) == WITH_TEXTS.replace("python:3.12-slim", BASE)


def test_a_name_that_stands_twice_is_pinned_where_it_means_an_image() -> None:
    text = "FROM python AS python-of-all\nCOPY --chown=tool --from=tool /tool /bin/\n"
    pinned = pin(text, {"python": BASE, "tool": OTHER})
    assert pinned == f"FROM {BASE} AS python-of-all\nCOPY --chown=tool --from={OTHER} /tool /bin/\n"
