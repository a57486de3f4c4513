"""The published package works without this folder: the wheel in a clean environment runs the main example."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.testbeds.home import Home

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.wheel, pytest.mark.timeout(900)]


def pip(python: Path | str, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a clean environment that holds the wheel and what the example itself needs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    [wheel] = folder.glob("orchestune-*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    pip(python, "install", "-c", str(ROOT / "constraints.txt"), str(wheel), "scikit-learn")
    return folder / "venv/bin"


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
