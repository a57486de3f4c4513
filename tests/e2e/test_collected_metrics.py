"""Each example of the page about metrics runs as it stands there, by `test` and by a worker."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.testbeds.home import Home

PAGE = Path(__file__).parents[2] / "docs/how-to/collect-metrics.md"
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.read_text().split("\n## ")[1:] if "experiment.yml" in part}
BLOCK = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = {"csv": 0.25, "json": 0.25, "mlflow": 0.25, "regex": 0.33, "tensorboard": 1 / 3}


def written(title: str, folder: Path) -> float:
    """Put the files of a section into a folder, with what an earlier run left; the value to be found."""
    for name, text in BLOCK.findall(SECTIONS[title]):
        (folder / name).write_text(text.replace("run: python", f"run: {sys.executable}"))
    (folder / ".gitignore").write_text("lightning_logs\nruns\n")
    (folder / "history.csv").write_text("epoch,loss\n9,1e-9\n")
    (folder / "runs").mkdir()
    return next(value for kind, value in EXPECTED.items() if f"collect: {{{kind}:" in SECTIONS[title])


def test_the_page_has_an_example_of_every_kind() -> None:
    assert len(SECTIONS) == len(EXPECTED)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_try_shows_the_metric(title: str, tmp_path: Path, shared_home: Home) -> None:
    value = written(title, tmp_path)
    [metric] = shared_home.json("test", cwd=tmp_path)["metrics"].values()
    assert metric["value"] == pytest.approx(value)


def test_workers_find_the_same(tmp_path: Path) -> None:
    with Home() as home:
        for index, title in enumerate(SECTIONS):
            folder = tmp_path / str(index)
            folder.mkdir()
            value = written(title, folder)
            name = re.findall(r"metrics: {(\S+):", SECTIONS[title])[0]
            home.run("run", cwd=folder)
            [status] = home.json("status", cwd=folder)[:1]
            trials = home.json("trials", status["handle"])
            assert [trial["state"] for trial in trials] == ["completed"] * 5
            for trial in trials:
                assert trial["metrics"][name]["value"] == pytest.approx(value)
            assert not list((folder / "runs").iterdir())
