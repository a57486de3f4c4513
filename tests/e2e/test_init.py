"""The examples of the pages about beginnings run as they stand there: from a script, and from another tool."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.testbeds.home import Home

DOCS = Path(__file__).parents[2] / "docs/how-to"
NAMED = re.compile(r"^```\w+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example(page: str) -> dict[str, str]:
    return dict(NAMED.findall((DOCS / page).read_text()))


@pytest.mark.parametrize(
    ("words", "name"),
    [(("train.py", "--yes"), "val/loss"), (("--from", "sweep.yaml"), "val/loss")],
    ids=["script", "sweep"],
)
def test_what_init_writes_runs(words: tuple[str, ...], name: str, tmp_path: Path) -> None:
    files = example("start-from-a-script.md") | example("move-from-another-tool.md")
    files["sweep.yaml"] = files["sweep.yaml"].replace("layers: {min: 1, max: 5}", "epochs: {min: 1, max: 3}")
    files["sweep.yaml"] = files["sweep.yaml"].replace("amp: {values: [true, false]}", "opt: {values: [adam, sgd]}")
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    with Home() as home:
        home.run("init", *words, cwd=tmp_path)
        text = (tmp_path / "experiment.yml").read_text()
        (tmp_path / "experiment.yml").write_text(text.replace("run: python", f"run: {sys.executable}"))
        home.run("run", "--budget", "4", "--parallel", "2", cwd=tmp_path)
        trials = home.json("trials", cwd=tmp_path)
        assert [trial["state"] for trial in trials] == ["completed"] * 4
        assert all(name in trial["metrics"] for trial in trials)


@pytest.mark.parametrize(
    "script",
    [
        "import os\nprint('accuracy:', 1 - float(os.environ['ORCHESTUNE_PARAM_ALPHA']))\n",
        "import sigopt\nsigopt.log_metric('accuracy', 1 - sigopt.params.alpha)\n",
        "from orchestrate.io import assignment, log_metric\nlog_metric('accuracy', 1 - assignment('alpha'))\n",
    ],
    ids=["environment", "sigopt", "orchestrate.io"],
)
def test_a_project_of_sigopt_orchestrate_runs_as_it_is(script: str, tmp_path: Path) -> None:
    (tmp_path / "orchestrate.yml").write_text(
        f"name: old\nrun: {sys.executable} model.py\nframework: python\noptimization:\n"
        "  metrics: [{name: accuracy}]\n"
        "  parameters: [{name: alpha, type: double, bounds: {min: 1e-6, max: 0.1}, transformation: log}]\n"
        "  observation_budget: 3\n  parallel_bandwidth: 2\n"
    )
    (tmp_path / "model.py").write_text(script)
    with Home() as home:
        home.run("test", cwd=tmp_path)
        home.run("run", cwd=tmp_path)
        home.run("try", cwd=tmp_path)
        trials = home.json("trials", cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.py", "orchestrate.yml"]
    assert [trial["metrics"]["accuracy"]["value"] for trial in trials] == [
        pytest.approx(1 - trial["parameters"]["alpha"]) for trial in trials
    ]
