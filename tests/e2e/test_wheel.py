"""The published package works without this folder: the wheel in a clean environment runs the main example."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.testbeds.home import Home

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]


def pip(python: Path | str, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


_OF_VENV = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
MAX_PACKAGES, MAX_MEGABYTES = 45, 320
"""of a plain install with the pinned versions, compiled as pip leaves it"""


@dataclass(frozen=True)
class PlainInstall:
    """An environment in which the wheel was installed alone."""

    programs: Path
    megabytes: dict[str, float]
    """size of each entry of its site-packages, without pip and setuptools"""
    packages: list[str]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PlainInstall:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("orchestune-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    pip(python, "install", "-c", str(ROOT / "constraints.txt"), str(wheel))
    [libraries] = folder.glob("venv/lib/python*/site-packages")
    entries = [path for path in libraries.iterdir() if not path.name.startswith(_OF_VENV)]
    packages = [path.name.partition("-")[0] for path in entries if path.suffix == ".dist-info"]
    return PlainInstall(python.parent, {path.name: _megabytes(path) for path in entries}, packages)


def _megabytes(path: Path) -> float:
    """Return the space on disk that a file or folder takes, as `du` counts it."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return sum(file.lstat().st_blocks * 512 for file in files) / 2**20


@pytest.fixture(scope="module")
def installed(plain: PlainInstall) -> Path:
    """The programs of the environment, after the installation of what the example itself needs."""
    pip(plain.programs / "python", "install", "-c", str(ROOT / "constraints.txt"), "scikit-learn")
    return plain.programs


def test_a_plain_install_is_small(plain: PlainInstall) -> None:
    largest = sorted(plain.megabytes.items(), key=lambda item: -item[1])[:20]
    assert len(plain.packages) <= MAX_PACKAGES, sorted(plain.packages)
    assert sum(plain.megabytes.values()) <= MAX_MEGABYTES, [f"{name}: {size:.1f} MB" for name, size in largest]


def test_the_demo_runs_from_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(ROOT / "examples/01-sgd-classifier", tmp_path / "project"))
    with Home([str(installed / "orchestune")]) as home:
        home.run("run", cwd=project)
        [status] = home.json("status", cwd=project)
        assert (status["state"], status["counts"]["completed"]) == ("completed", status["budget"])
        [best] = home.json("best", cwd=project)
        assert best["metrics"]["accuracy"]["value"] > 0.9
        assert best["metrics"]["accuracy"]["stddev"] > 0
        assert (best["parameters"]["penalty"] == "elasticnet") == ("l1_ratio" in best["parameters"])


def test_the_installed_program_knows_its_version_and_ships_its_types(installed: Path) -> None:
    version = subprocess.run([str(installed / "orchestune"), "version"], capture_output=True, text=True, check=True)
    code = "import importlib.metadata as m, orchestune, pathlib; p = pathlib.Path(orchestune.__file__).parent; "
    code += "assert (p / 'py.typed').exists(); assert (p / '../hydra_plugins/orchestune_sweeper').exists(); "
    code += "print(m.version('orchestune'))"
    package_version = subprocess.run(
        [str(installed / "python"), "-c", code], capture_output=True, text=True, check=True
    )
    assert package_version.stdout.strip() in version.stdout


@pytest.mark.parametrize("starter", ["uvx", "pipx"])
def test_the_wheel_runs_by_its_name_without_being_installed_and_trials_use_the_python_of_the_caller(
    plain: PlainInstall, tmp_path: Path, starter: str
) -> None:
    pip(plain.programs / "python", "install", "-c", str(ROOT / "constraints.txt"), {"uvx": "uv"}.get(starter, starter))
    program, [wheel] = str(plain.programs / starter), plain.programs.parents[1].glob("orchestune-*.whl")
    start = [program, "--from", str(wheel)] if starter == "uvx" else [program, "run", "--spec", str(wheel)]
    bin_folder, project = tmp_path / "bin", tmp_path / "project"
    bin_folder.mkdir()
    project.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    script = "import sys; print('python=' + sys.executable); print('loss=' + sys.argv[1].partition('=')[2])"
    (project / "train.py").write_text(script)
    settings = {"UV_CACHE_DIR": str(tmp_path / "uv"), "PIPX_HOME": str(tmp_path / "pipx"), "UV_PYTHON": sys.executable}
    settings |= {"UV_CONSTRAINT": str(ROOT / "constraints.txt"), "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    with Home([*start, "orchestune"], **settings) as home:
        home.env["PATH"] = f"{bin_folder}:{home.env['PATH']}"
        home.run(
            "run", "--minimize", "loss", "x=0..1", "--budget", "2", "--", "python", "train.py", "{args}", cwd=project
        )
        [status] = home.json("status", cwd=project)
        assert (status["state"], status["counts"]["completed"]) == ("completed", 2)
        assert f"python={bin_folder}" in home.run("logs", cwd=project).stdout
