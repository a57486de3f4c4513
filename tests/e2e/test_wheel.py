"""What is published works without this folder: the wheel in a clean environment, and the main example from there."""

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
    said = subprocess.run([str(installed / "orchestune"), "version"], capture_output=True, text=True, check=True)
    code = "import importlib.metadata as m, orchestune, pathlib; p = pathlib.Path(orchestune.__file__).parent; "
    code += "assert (p / 'py.typed').exists(); assert (p / '../hydra_plugins/orchestune_sweeper').exists(); "
    code += "print(m.version('orchestune'))"
    found = subprocess.run([str(installed / "python"), "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in said.stdout
