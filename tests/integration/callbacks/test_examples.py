"""The examples that take PyTorch, each with the programs of the environment that has it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.test_examples import EXAMPLES
from tests.e2e.test_examples import TORCH as FOLDERS
from tests.integration.callbacks.test_callbacks import TORCH
from tests.testbeds.home import Home

pytestmark = [pytest.mark.torch, pytest.mark.timeout(600)]


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_an_example_with_pytorch_completes_its_budget(name: str, tmp_path: Path) -> None:
    project = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
    with Home(OMP_NUM_THREADS="1") as home:
        home.env["PATH"] = f"{TORCH.parent}:{home.env['PATH']}"
        home.run("run", cwd=project)
        [status] = home.json("status", cwd=project)
        assert (status["state"], status["counts"]["completed"]) == ("completed", status["budget"]), home.look("logs")
        assert status["best"]
