"""Output of `orchestune run --dry-run` for correct experiment files, and for the mistakes that people make in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.command_line import Run, placed, transcript_of
from tests.golden.expected_files import Golden

RIGHT = """\
name: SGD
run: python train.py {args}
parameters:
  alpha: 1e-6..0.1 log
metrics:
  accuracy: maximize
budget: 40
"""


def right(old: str = "", new: str = "", more: str = "") -> str:
    """The right file with a part replaced, and with more at its end."""
    assert old in RIGHT
    return (RIGHT.replace(old, new) if old else RIGHT) + (f"{more}\n" if more else "")


PLANS = {
    "plan_smallest": right(),
    "plan_with_conditions": right("  alpha: 1e-6..0.1 log\n", """\
  alpha: 1e-6..0.1 log
  penalty: [l1, l2, elasticnet]
  l1_ratio: {min: 0.0, max: 1.0, when: {penalty: elasticnet}}
  layers: 2..8
  warm: [true, false]
constraints:
  - layers * alpha < 0.5
"""),
    "plan_with_several_metrics": right("  accuracy: maximize\n", """\
  accuracy: maximize
  latency: {goal: minimize, constraint: "<= 20"}
"""),
    "plan_with_everything": right(more="""\
parallelism: 4
folds: 3
early_stopping: {type: asha, min_steps: 2}
stop: {patience: 10, time: 2h, target: 0.99}
resources: {cpu: 1, memory: 1Gi}
keep: {patterns: ["*.pt"], best: 3}
checkpoint: {every: 5m}
timeout: 20m
retry: 2
env: {OMP_NUM_THREADS: "1"}
labels: {team: text}
engine: tpe
seed: 7
try_first:
  - {alpha: 0.001}
"""),
    "plan_without_placeholders": right("python train.py {args}", "python train.py"),
    "plan_with_words": right("python train.py {args}", "[python, train.py, '--alpha={alpha}']"),
}  # fmt: skip

MISTAKES = {
    "unknown_key": right("budget: 40", "budgett: 40"),
    "key_of_another_tool": right("budget: 40", "n_trials: 40"),
    "key_twice": right(more="budget: 4"),
    "missing_budget": right("budget: 40\n"),
    "missing_metrics": right("metrics:\n  accuracy: maximize\n"),
    "missing_run": right("run: python train.py {args}\n"),
    "missing_parameters": right("parameters:\n  alpha: 1e-6..0.1 log\n"),
    "missing_script": right("train.py", "nothing.py"),
    "empty_file": "",
    "not_a_mapping": "- run\n- parameters\n",
    "no_yaml": "run: [python\nbudget: 40\n",
    "tab": right("  alpha", "\talpha"),
    "budget_zero": right("budget: 40", "budget: 0"),
    "budget_text": right("budget: 40", "budget: many"),
    "range_upside_down": right("1e-6..0.1 log", "0.1..1e-6 log"),
    "range_log_from_zero": right("1e-6..0.1 log", "0..0.1 log"),
    "range_unreadable": right("1e-6..0.1 log", "between 0 and 1"),
    "choices_empty": right("1e-6..0.1 log", "[]"),
    "choice_twice": right("1e-6..0.1 log", "[1, 2, 1]"),
    "condition_of_an_unknown_parameter": right("1e-6..0.1 log", "{min: 0, max: 1, when: {penality: l1}}"),
    "metric_goal": right("accuracy: maximize", "accuracy: max"),
    "metric_as_a_list": right("  accuracy: maximize\n", "  - accuracy\n"),
    "placeholder_unknown": right("{args}", "{alhpa}"),
    "engine_unknown": right(more="engine: bayes"),
    "engine_option_unknown": right(more="engine: {name: tpe, startups: 3}"),
    "early_stopping_unknown": right(more="early_stopping: ahsa"),
    "early_stopping_option": right(more="early_stopping: {type: median, reduction: 3}"),
    "stop_rule_unknown": right(more="stop: {tim: 1h}"),
    "duration_unreadable": right(more="timeout: soon"),
    "memory_unreadable": right(more="resources: {memory: much}"),
    "resources_unknown": right(more="resources: {cores: 2}"),
    "folds_zero": right(more="folds: 0"),
    "try_first_outside": right(more="try_first: [{alpha: 7}]"),
    "constraint_unreadable": right(more="constraints: ['alpha <']"),
    "constraint_of_an_unknown_parameter": right(more="constraints: ['alhpa < 1']"),
    "label_of_ours": right(more="labels: {orchestune.dev/test: 1}"),
    "secret_in_the_file": right(more="secrets: {TOKEN: abc}"),
    "several_at_once": right("budget: 40", "budget: 0").replace("maximize", "max").replace("1e-6..0.1", "1..0"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str, golden: Golden, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    golden.check(f"{name}.txt", _dry_run(PLANS[name], run, monkeypatch, tmp_path))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, golden: Golden, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    golden.check(f"{name}.txt", _dry_run(MISTAKES[name], run, monkeypatch, tmp_path))


def test_every_expected_file_is_used(golden: Golden) -> None:
    golden.check_names(f"{name}.txt" for name in (*PLANS, *MISTAKES))


def _dry_run(text: str, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return the file with the output for it, as text and as JSON. No server is asked: its address leads nowhere."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text("print('accuracy=0.5')\n")
    (folder / "experiment.yml").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ORCHESTUNE_SERVER", "http://server.invalid:1")
    parts = [f"experiment.yml\n{''.join(f'  {line}' for line in text.splitlines(keepends=True))}"]
    parts += [transcript_of(["run", "--dry-run", *more], run) for more in ([], ["--json"])]
    return placed("\n".join(parts), {str(folder): "<project>", str(tmp_path): "<home>"})
