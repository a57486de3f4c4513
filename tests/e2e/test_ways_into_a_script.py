"""Each example of the page about ways into a script runs as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.testbeds.home import Home

PAGE = Path(__file__).parents[2] / "docs/how-to/ways-into-a-script.md"
SECTIONS = {
    section.partition("\n")[0]: section
    for section in PAGE.read_text().split("\n## ")[1:]
    if "orchestune run" in section
}
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def written(section: str, folder: Path) -> str:
    """Put the files of a section into a folder; its command."""
    command = ""
    for _, name, text in BLOCK.findall(section):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        else:
            command = text
    return command


def test_the_page_has_an_example_of_every_way() -> None:
    assert len(SECTIONS) == 8


@pytest.mark.parametrize("title", SECTIONS)
def test_the_values_of_a_trial_arrive(title: str, tmp_path: Path, shared_home: Home) -> None:
    command = written(SECTIONS[title], tmp_path).replace("orchestune run", "orchestune test --json -p {}=0.5")
    name = "lr" if " lr=" in command else "optim.lr"
    command = command.replace("-p {}=0.5", f"-p {name}=0.05")
    done = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=shared_home.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    loss = json.loads(done.stdout)["metrics"]["loss"]["value"]
    assert loss - len("sgd" if "opt=" in command else "") == pytest.approx(0.04**2, rel=1e-3)


@pytest.mark.parametrize("title", ["Your configuration file: `{config}`", "Standard input"])
def test_workers_do_the_same(title: str, tmp_path: Path) -> None:
    command = written(SECTIONS[title], tmp_path).replace("--budget 20", "--budget 3")
    words = command.replace("python ", f"{sys.executable} ").split()[1:]
    with Home() as home:
        home.run(*words, cwd=tmp_path)
        for trial in home.json("trials", cwd=tmp_path):
            lr = trial["parameters"]["optim.lr"]
            assert trial["metrics"]["loss"]["value"] == pytest.approx((lr - 0.01) ** 2)
