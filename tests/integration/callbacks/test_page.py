"""Each script of the page about training libraries runs as it stands there, and its metric is found."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.integration.callbacks.test_callbacks import TORCH
from tests.testbeds.home import Home

PAGE = Path(__file__).parents[3] / "docs/how-to/training-libraries.md"
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.read_text().split("\n## ")[1:]}
HEAVY = ("Keras", "PyTorch Lightning", "Hugging Face")
TITLES = [pytest.param(title, marks=[pytest.mark.torch] if title in HEAVY else []) for title in SECTIONS]
pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("title", TITLES)
def test_a_try_shows_the_metric(title: str, tmp_path: Path) -> None:
    [script] = re.findall(r"```python train.py\n(.*?)^```", SECTIONS[title], re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^orchestune run (.*)$", SECTIONS[title], re.MULTILINE)
    (tmp_path / "train.py").write_text(script)
    python = TORCH if title in HEAVY else Path(sys.executable)
    settings = ["--seed", "1", "--set", "env={KERAS_BACKEND: torch}"]
    words = [word if word != "python" else str(python) for word in shlex.split(command)]
    path = str(PAGE.parents[2] / "src")  # the other environment does not have this package
    with Home(PYTHONPATH=path) as home:
        done = home.run("test", "--json", *settings, *words, cwd=tmp_path)  # options come before the command
    assert list(json.loads(done.stdout)["metrics"]) == [words[1]]
