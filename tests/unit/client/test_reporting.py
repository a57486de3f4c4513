"""`orchestune.report` works in a trial and by hand, and costs next to nothing to import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import orchestune


def test_reports_are_json_lines_in_the_trials_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics"
    monkeypatch.setenv("ORCHESTUNE_METRICS", str(path))
    orchestune.report(accuracy=0.9, step=3)
    orchestune.report({"val/loss": 0.5}, stddev=0.1)
    orchestune.report({"a": 1, "b": 2}, stddev={"b": 0.2})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"name": "accuracy", "value": 0.9, "step": 3.0},
        {"name": "val/loss", "value": 0.5, "stddev": 0.1},
        {"name": "a", "value": 1.0},
        {"name": "b", "value": 2.0, "stddev": 0.2},
    ]


def test_outside_of_a_trial_metrics_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORCHESTUNE_METRICS", raising=False)
    orchestune.report(accuracy=0.25)
    assert capsys.readouterr().out == "accuracy=0.25\n"


def test_what_is_no_number_is_refused_with_its_name() -> None:
    with pytest.raises(TypeError, match="accuracy must be a number, got list"):
        orchestune.report(accuracy=[1])
    with pytest.raises(ValueError, match="a single metric"):
        orchestune.report({"a": 1, "b": 2}, stddev=0.1)


def test_a_whole_number_that_is_larger_than_any_float_is_infinite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORCHESTUNE_METRICS", raising=False)
    orchestune.report({"loss": 10**400, "score": -(10**400)}, step=10**400, stddev={"loss": 10**400})
    assert capsys.readouterr().out == "loss=inf\nscore=-inf\n"


def test_importing_orchestune_loads_nothing_but_itself() -> None:
    code = "import sys; before = set(sys.modules); import orchestune; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['orchestune']"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        orchestune.nothing  # type: ignore[attr-defined]  # noqa: B018
