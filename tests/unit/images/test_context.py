"""The context of a build: files that its steps name, never the code, never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.errors import BadInput, TooLarge
from orchestune.images.builds import context
from orchestune.images.builds.context import for_dockerfile, for_install


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "train.py": "print('the code')",
        "requirements.txt": "numpy\n-r requirements/extra.txt\n--constraint=constraints.txt\n",
        "requirements/extra.txt": "scipy\n-r ../requirements.txt\n",
        "constraints.txt": "numpy==2.0\n",
        "setup.sh": "apt-get install -y gcc\n",
        "pyproject.toml": "[project]\n",
        "uv.lock": "version = 1\n",
        "environment.yml": "dependencies: [numpy]\n",
        "csrc/model.c": "int main(void) { return 0; }\n",
        "csrc/.env": "TOKEN=1\n",
        "csrc/key.pem": "-----BEGIN PRIVATE KEY-----\n",
        ".env": "TOKEN=1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("apt-get update && apt-get install -y gcc", []),
        ("pip install numpy", []),
        (
            "pip install -r requirements.txt",
            ["constraints.txt", "requirements.txt", "requirements/extra.txt"],
        ),
        ("pip install -rconstraints.txt", ["constraints.txt"]),
        ("pip install --requirement=constraints.txt", ["constraints.txt"]),
        ("cd /tmp; bash ./setup.sh>/dev/null", ["setup.sh"]),
        ("uv export --frozen -o /tmp/r.txt", ["pyproject.toml", "uv.lock"]),
        ("uv pip install numpy", []),
        ("mamba env update --name base", ["environment.yml"]),
        ("echo 'unclosed", []),
        ("cat ../outside.txt /etc/passwd", []),
    ],
)
def test_the_files_that_a_command_names_are_seen_and_those_that_they_name(
    project: Path, command: str, expected: list[str]
) -> None:
    (project.parent / "outside.txt").write_text("not of this project")
    files = for_install(project, [command])
    assert list(files) == expected
    assert all(path == project / name for name, path in files.items())


@pytest.mark.parametrize("command", ["pip install .", "pip install -e .[dev]", "uv pip install ./csrc"])
def test_code_is_not_installed_into_an_image(project: Path, command: str) -> None:
    with pytest.raises(BadInput, match=r"would put the code of .* into the image") as caught:
        for_install(project, [command])
    assert "pip install -r requirements.txt" in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("line", ["-e .", "./csrc", "../other", "file:///x", ". [dev]", "--editable=x"])
def test_nor_by_way_of_a_requirement(project: Path, line: str) -> None:
    (project / "requirements.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(BadInput, match=r"requirements\.txt:2: .* would put code into the image"):
        for_install(project, ["pip install -r requirements.txt"])


def test_a_password_in_a_requirement_is_refused_and_a_variable_is_not(project: Path) -> None:
    (project / "requirements.txt").write_text("--index-url https://ada:$TOKEN@pypi.lab/simple\nnumpy\n")
    assert list(for_install(project, ["pip install -r requirements.txt"])) == ["requirements.txt"]
    (project / "requirements.txt").write_text("numpy\n--index-url https://ada:sesame@pypi.lab/simple\n")
    with pytest.raises(BadInput, match=r"requirements\.txt:2: contains a password in a URL") as caught:
        for_install(project, ["pip install -r requirements.txt"])
    assert "sesame" not in str(caught.value)


def test_a_password_in_a_command_is_refused(project: Path) -> None:
    with pytest.raises(BadInput, match="contains a password in a URL"):
        for_install(project, ["pip install --index-url https://ada:sesame@pypi.lab/simple numpy"])


@pytest.mark.parametrize("name", [".env", "id_rsa", ".aws/config", ".netrc", "conf/credentials.json"])
def test_a_file_of_secrets_is_refused_by_its_name(project: Path, name: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("x")
    with pytest.raises(BadInput, match=f"{name}: not allowed in the image"):
        for_install(project, [f"cat {name}"])


def test_a_dockerfile_sees_what_it_copies(project: Path) -> None:
    text = "FROM x\nCOPY requirements.txt setup.* /x/\nCOPY csrc/ /csrc/\n"
    assert list(for_dockerfile(project, text, "Dockerfile")) == ["csrc/model.c", "requirements.txt", "setup.sh"]


@pytest.mark.parametrize(("lines", "expected"), [
    ("csrc/data\n", ["csrc/deep/a.o", "csrc/model.c"]),
    ("# what is built\n\n**/*.o\n/csrc/data/\n", ["csrc/model.c"]),
    ("**/deep\n!csrc/deep/a.o\n*/data", ["csrc/deep/a.o", "csrc/model.c"]),
    ("csrc/*\n!csrc/model.c\n", ["csrc/model.c"]),
    ("*\n!csrc\ncsrc/deep\n", ["csrc/data/big.bin", "csrc/model.c"]),
    (".\nother\n", ["csrc/data/big.bin", "csrc/deep/a.o", "csrc/model.c"]),
])  # fmt: skip
def test_what_dockerignore_leaves_out_stays_out_of_an_image(project: Path, lines: str, expected: list[str]) -> None:
    for name in ("csrc/data/big.bin", "csrc/deep/a.o"):
        (project / name).parent.mkdir()
        (project / name).write_text("x")
    (project / ".dockerignore").write_text(lines)
    assert list(for_dockerfile(project, "FROM a\nCOPY csrc /csrc\n", "Dockerfile")) == expected


def test_a_dockerfile_has_a_dockerignore_of_its_own(project: Path) -> None:
    (project / ".dockerignore").write_text("csrc\n")
    (project / "gpu.Dockerfile.dockerignore").write_text("setup.sh\n")
    text = "FROM a\nCOPY csrc /csrc\nCOPY *.sh /\n"
    assert list(for_dockerfile(project, text, "gpu.Dockerfile")) == ["csrc/model.c"]
    assert list(for_dockerfile(project, text, "Dockerfile")) == ["setup.sh"]


def test_what_is_named_and_left_out_is_told(project: Path) -> None:
    (project / ".dockerignore").write_text("*.sh\n")
    with pytest.raises(BadInput, match=r"Dockerfile:2: .* names setup.sh, which .dockerignore excludes"):
        for_dockerfile(project, "FROM a\nCOPY setup.sh /\n", "Dockerfile")


@pytest.mark.parametrize("source", [".", "./", "*", "/", "../x", "./."])
def test_a_dockerfile_does_not_copy_everything(project: Path, source: str) -> None:
    with pytest.raises(BadInput, match=r"Dockerfile:2: .* copies the whole folder") as caught:
        for_dockerfile(project, f"FROM x\nCOPY {source} /app\n", "Dockerfile")
    assert "current folder" in str(caught.value)


def test_a_dockerfile_does_not_copy_a_secret_or_what_is_not_there(project: Path) -> None:
    with pytest.raises(BadInput, match=r"\.env: not allowed"):
        for_dockerfile(project, "FROM x\nCOPY .env /app\n", "Dockerfile")
    with pytest.raises(BadInput, match=r"csrc/key\.pem:1: contains a private key"):
        for_dockerfile(project, "FROM x\nCOPY csrc/key.pem /app\n", "Dockerfile")
    with pytest.raises(BadInput, match=r"sub/Dockerfile:3: .*missing\.txt, which is not in"):
        for_dockerfile(project, "FROM x\n\nCOPY missing.txt /app\n", "sub/Dockerfile")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("RUN pip install -i https://ada:sesame@pypi.lab/simple numpy", "a password in a URL"),
        ("RUN echo '//registry.lab/:_authToken=sesame' > ~/.npmrc", "a token"),
    ],
)
def test_a_dockerfile_does_not_hold_a_secret_itself(project: Path, line: str, what: str) -> None:
    with pytest.raises(BadInput) as caught:
        for_dockerfile(project, f"FROM python\n{line}\n", "Dockerfile")
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == ("Dockerfile", 2)
    assert what in problem.message and "sesame" not in problem.message
    assert (
        for_dockerfile(project, "FROM python\nRUN pip install -i https://$USER:$TOKEN@pypi.lab x\n", "Dockerfile") == {}
    )


def test_data_does_not_belong_into_an_image(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LIMIT", 2 << 20)
    (project / "csrc/data.bin").write_bytes(b"\0" * (3 << 20))
    with pytest.raises(TooLarge, match=r"too large: 3 MiB .at most 2 MiB") as caught:
        for_dockerfile(project, "FROM x\nCOPY csrc /csrc\n", "Dockerfile")
    assert "csrc/data.bin" in caught.value.hint


def test_a_word_that_is_too_long_to_be_the_name_of_a_file_names_none(project: Path) -> None:
    program = "import nltk; " + "; ".join(f"nltk.download('set-{number}')" for number in range(20))
    assert for_install(project, [f'python -c "{program}"', "pip install -r requirements/extra.txt"])
    assert for_install(project, [f"pip install ./{'x' * 300}"]) == {}
