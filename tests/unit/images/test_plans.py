"""Commands of builds, meanings of their failures, names of results and hints: pure functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from orchestune.errors import Denied, OrchestuneError
from orchestune.images.builds.build import Plan, write_context
from orchestune.images.builds.recipe import tag
from orchestune.images.builds.suggest import suggest_install
from orchestune.images.builds.tools import KINDS, Kind, build_command, failure, push_command, trust_hint
from orchestune.images.registries.manifests import Platform
from orchestune.images.registries.reference import Reference

TARGET = Reference("registry.lab:5000", "team/orchestune", "abc")
PLAN = Plan("FROM x\n", {}, Platform("arm64"), TARGET)
PLAIN = Plan("FROM x\n", {}, Platform("arm64"), TARGET, plain=True)
FILE = Path("/b/Dockerfile")


@pytest.mark.parametrize(
    ("kind", "plan", "build", "push"),
    [
        ("docker", PLAIN, "docker build --platform linux/arm64 --tag {0} --file {1} /b/context", "docker push {0}"),
        (
            "podman",
            PLAN,
            "podman build --platform linux/arm64 --tag {0} --file {1} /b/context",
            "podman push {0} docker://{0}",
        ),
        (
            "buildah",
            PLAIN,
            "buildah build --platform linux/arm64 --tag {0} --file {1} --tls-verify=false /b/context",
            "buildah push --tls-verify=false {0} docker://{0}",
        ),
    ],
)
def test_each_tool_builds_for_the_nodes_and_pushes(kind: Kind, plan: Plan, build: str, push: str) -> None:
    assert kind in KINDS
    assert " ".join(build_command(kind, plan, FILE)) == build.format(TARGET, FILE)
    assert " ".join(push_command(kind, plan)) == push.format(TARGET)


@pytest.mark.parametrize(
    ("what", "output", "kind", "hint"),
    [
        ("build", "ERROR: No matching distribution found for nmpy", OrchestuneError, "install"),
        ("build", "standard_init_linux.go: exec format error", OrchestuneError, "binfmt"),
        ("build", "Error during unshare(CLONE_NEWUSER): Operation not permitted", OrchestuneError, "seccompDefault"),
        ("build", "pull access denied for hub.lab/x, repository does not exist", Denied, "docker login REGISTRY"),
        ("build", "cp: cannot stat: Permission denied", OrchestuneError, "install"),
        ("push", "denied: requested access to the resource is denied", Denied, "docker login registry.lab:5000"),
        ("push", "http: server gave HTTP response to HTTPS client", OrchestuneError, "insecure-registries"),
        ("push", "x509: certificate signed by unknown authority", OrchestuneError, "certs.d/registry.lab:5000/ca.crt"),
        ("build", "tls: x509: certificate signed by unknown authority", OrchestuneError, "/etc/docker/certs.d/"),
    ],
)
def test_a_failure_shows_the_end_of_the_output_and_what_to_do(
    what: str, output: str, kind: type[OrchestuneError], hint: str
) -> None:
    trust = trust_hint("docker", "registry.lab:5000")
    error = failure(what, "docker", PLAN, ["Step 1", output], trust)
    assert type(error) is kind and output in error.message and hint in error.hint


def test_the_tag_is_of_everything_that_makes_the_image_and_of_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_text("numpy\n")
    amd64, arm64 = Platform("amd64"), Platform("arm64")
    first = tag("FROM x\n", {"r.txt": file}, amd64)
    assert first == "48c6b3a12580f3d5f8a5c4d000982682"
    others = {
        tag("FROM y\n", {"r.txt": file}, amd64),
        tag("FROM x\n", {"s.txt": file}, amd64),
        tag("FROM x\n", {"r.txt": file}, arm64),
        tag("FROM x\n", {}, amd64),
    }
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere/copy"
    copy.write_text("numpy\n")
    assert tag("FROM x\n", {"r.txt": copy}, amd64) == first
    copy.write_text("scipy\n")
    others.add(tag("FROM x\n", {"r.txt": copy}, amd64))
    file.chmod(0o755)
    others.add(tag("FROM x\n", {"r.txt": file}, amd64))
    assert len(others) == 6 and first not in others


def test_a_build_sees_exactly_its_files(tmp_path: Path) -> None:
    script, secret = tmp_path / "setup.sh", tmp_path / ".env"
    script.write_text("true\n")
    script.chmod(0o700)
    secret.write_text("TOKEN=1\n")
    (tmp_path / "work").mkdir()
    plan = Plan("FROM x\n", {"deep/setup.sh": script}, Platform("amd64"), TARGET)
    dockerfile = write_context(plan, tmp_path / "work")
    files = [path for path in sorted((tmp_path / "work").rglob("*")) if path.is_file()]
    assert files == [dockerfile, tmp_path / "work/context/deep/setup.sh"]
    assert dockerfile.read_text() == "FROM x\n"
    assert files[1].stat().st_mode & 0o777 == 0o755


def test_nothing_is_suggested_where_nothing_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 120\n")
    assert suggest_install(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("requirements.txt", "numpy\n", {"install": "pip install -r requirements.txt"}),
        (
            "pyproject.toml",
            '[project]\nname = "x"\ndependencies = ["numpy>=2", "torch==2.5; python_version < \'3.13\'"]\n',
            {"install": "pip install 'numpy>=2' 'torch==2.5; python_version < '\"'\"'3.13'\"'\"''"},
        ),
        (
            "uv.lock",
            "version = 1\n",
            {
                "install": [
                    "pip install uv",
                    "uv export --frozen --no-dev --no-emit-project --output-file /tmp/requirements.txt",
                    "pip install -r /tmp/requirements.txt",
                ]
            },
        ),
        (
            "environment.yml",
            "dependencies: [numpy]\n",
            {
                "image": "condaforge/miniforge3",
                "install": "mamba env update --name base --file environment.yml",
            },
        ),
    ],
)
def test_what_the_folder_says_is_suggested_as_yaml(
    tmp_path: Path, name: str, text: str, expected: dict[str, object]
) -> None:
    (tmp_path / name).write_text(text)
    suggestion = suggest_install(tmp_path)
    assert suggestion is not None and name in suggestion.splitlines()[0]
    assert YAML(typ="safe").load(suggestion) == expected


def test_a_lock_is_more_exact_than_a_list(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.txt", "uv.lock"):
        (tmp_path / name).write_text("")
    suggestion = suggest_install(tmp_path)
    assert suggestion is not None and "uv export" in suggestion
