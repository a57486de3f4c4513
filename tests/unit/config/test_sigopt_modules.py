"""Scripts written for SigOpt's module run with the one in its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import SourcePosition, mapping
from orchestune.config.experiment_file import load
from orchestune.config.foreign import reading
from orchestune.config.sources import sigopt_modules

FILE = """\
run: python3 src/model.py
observation_budget: 3
metrics: [{name: accuracy}]
parameters: [{name: lr, type: double, bounds: {min: 0, max: 1}}]
"""


def run(folder: Path, script: str, **parameters: Any) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run a script as a trial with those parameters; what it reported."""
    (folder / "params.json").write_text(json.dumps(parameters))
    (folder / "model.py").write_text(script)
    modules = sigopt_modules.missing_modules(mapping({"run": "python3 model.py"}, SourcePosition("x")), folder)
    for file in modules:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(sigopt_modules.text(file))
    metrics = folder / "metrics.jsonl"
    environ = {
        **os.environ,
        "ORCHESTUNE_PARAMS": str(folder / "params.json"),
        "ORCHESTUNE_METRICS": str(metrics),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "model.py"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    return done, [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []


def test_a_script_of_the_later_client_gets_its_values_and_reports(tmp_path: Path) -> None:
    script = (
        "import sigopt\n"
        "sigopt.params.setdefaults(lr=0.1, layers=2)\nsigopt.params.own = 5\n"
        "print(sigopt.params.lr, sigopt.params['layers'], dict(sigopt.params) == {'lr': 0.5, 'layers': 2, 'own': 5})\n"
        "sigopt.log_model('x')\nsigopt.log_checkpoint({'accuracy': 0.5})\n"
        "sigopt.log_metric('accuracy', 0.75, stddev=0.1)\nsigopt.log_metrics({'loss': 2})\n"
    )
    done, reported = run(tmp_path, script, lr=0.5)
    assert done.stdout == "0.5 2 True\n", done.stderr
    assert reported == [
        {"step": 1, "accuracy": 0.5},
        {"name": "accuracy", "value": 0.75, "stddev": 0.1},
        {"name": "loss", "value": 2.0},
    ]


def test_a_script_of_orchestrate_gets_its_values_and_reports(tmp_path: Path) -> None:
    script = (
        "from orchestrate.io import assignment, log_metric\n"
        "print(assignment('lr'), assignment('other', default=7))\nlog_metric('accuracy', 0.75)\n"
    )
    done, reported = run(tmp_path, script, lr=0.5)
    assert done.stdout == "0.5 7\n", done.stderr
    assert reported == [{"name": "accuracy", "value": 0.75}]


def test_a_run_within_the_script_is_the_trial(tmp_path: Path) -> None:
    script = "import sigopt\nwith sigopt.create_run(name='x') as run:\n    run.log_metric('a', run.params.lr)\n"
    assert run(tmp_path, script, lr=0.5)[1] == [{"name": "a", "value": 0.5}]


def test_a_failure_that_the_script_logs_fails_the_trial(tmp_path: Path) -> None:
    done, _ = run(tmp_path, "import sigopt\nsigopt.log_failure()\nprint('continues')\n")
    assert (done.returncode, done.stdout) == (1, "continues\n")


@pytest.mark.parametrize("line", ["sigopt.params.lr = 2", "sigopt.Connection()", "sigopt.params.nothing"])
def test_what_cannot_be_is_told(line: str, tmp_path: Path) -> None:
    done, _ = run(tmp_path, f"import sigopt\n{line}\n", lr=1)
    assert done.returncode == 1
    assert "Error: " in done.stderr


def test_what_the_modules_report_is_understood() -> None:
    from orchestune.worker.metrics.scanner import Declared, Scanner

    scanner = Scanner(Declared(["accuracy"]))
    [metric] = scanner.document(b'{"name": "accuracy", "value": 0.75, "stddev": 0.1}')
    assert (metric.name, metric.value, metric.stddev) == ("accuracy", 0.75, 0.1)


def test_the_modules_lie_beside_the_script_that_imports_them(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "model.py").write_text("import helper\n")
    (tmp_path / "src" / "helper.py").write_text("from orchestrate.io import assignment\n")
    (tmp_path / "orchestrate.yml").write_text(FILE)
    draft = reading.read(str(tmp_path / "orchestrate.yml"))
    assert set(draft.files) == {"src/sigopt.py", "src/orchestrate/__init__.py", "src/orchestrate/io.py"}
    assert [note for note in draft.notes if "the discontinued SigOpt service" in note]
    loaded = load(tmp_path / "orchestrate.yml")
    assert set(loaded.code.modules) == set(draft.files)
    assert [note for note in loaded.notes if "src/sigopt.py replaces its module" in note]


@pytest.mark.parametrize("script", ["import os\n", "# import sigopt\n"])
def test_other_scripts_get_none(script: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "model.py").write_text(script)
    (tmp_path / "orchestrate.yml").write_text(FILE)
    assert reading.read(str(tmp_path / "orchestrate.yml")).files == {}
