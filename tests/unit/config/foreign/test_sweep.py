"""Sweeps of W&B as experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document import save
from orchestune.config.document.nodes import plain
from orchestune.config.experiment_file import load
from orchestune.config.foreign import reading
from orchestune.config.sources.draft import Draft
from orchestune.errors import BadInput, UsageError

SWEEP = """\
program: train.py
method: bayes
name: my sweep
project: vision
metric: {name: val/loss, goal: minimize, target: 0.05}
run_cap: 30
parameters:
  lr: {distribution: log_uniform_values, min: 1e-5, max: 0.1}
  layers: {min: 1, max: 5}
  epochs: {value: 5}
"""


def read(folder: Path, text: str) -> Draft:
    (folder / "sweep.yaml").write_text(text)
    return reading.read(str(folder / "sweep.yaml"))


def space(folder: Path, parameter: str) -> tuple[Any, tuple[str, ...]]:
    draft = read(folder, f"program: train.py\nmethod: random\nrun_cap: 1\nparameters:\n  x: {parameter}\n")
    return plain(draft.document)["parameters"].get("x"), draft.notes


def test_a_sweep_becomes_the_same_experiment(tmp_path: Path) -> None:
    draft = read(tmp_path, SWEEP)
    assert plain(draft.document) == {
        "name": "my sweep",
        "run": "python train.py {args}",
        "parameters": {"lr": "1e-5..0.1 log", "layers": "1..5", "epochs": [5]},
        "metrics": {"val/loss": "minimize"},
        "budget": 30,
        "stop": {"target": 0.05},
        "labels": {"project": "vision"},
    }
    assert draft.notes == ()


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("{values: [a, b]}", ["a", "b"]),
        ("{value: [1, 2]}", ["[1, 2]"]),
        ("{min: 0.0, max: 1}", "0.0..1.0"),
        ("{distribution: int_uniform, min: 1.0, max: 8.0}", "1..8"),
        ("{distribution: uniform, min: 0, max: 1}", "0.0..1.0"),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.25}", "0.0..1.0 step 0.25"),
        ("{distribution: q_uniform, min: 3, max: 99, q: 10}", "0..100 step 10"),
        ("{distribution: log_uniform, min: -6.907755, max: 0}", "0.001..1.0 log"),
        ("{distribution: inv_log_uniform, min: 0, max: 6.907755}", "0.001..1.0 log"),
        ("{distribution: inv_log_uniform_values, min: 0.1, max: 10}", "0.1..10.0 log"),
        ("{distribution: q_log_uniform_values, min: 32, max: 256, q: 8}", "32..256 log step 8"),
        ("{distribution: constant, value: 3}", [3]),
        ("{min: !!float 1e-5, max: 0.1}", "1e-5..0.1"),
        ("{min: 2, max: 2}", [2]),
        ("{distribution: categorical, values: [1, 2]}", [1, 2]),
        ("{distribution: categorical_w_probabilities, values: [1, 2], probabilities: [0.1, 0.9]}",
         {"values": [1, 2], "prior": {"weights": [0.1, 0.9]}}),
        ("{distribution: beta, a: 2, b: 5}", {"type": "float", "min": 0.0, "max": 1.0, "prior": {"a": 2, "b": 5}}),
    ],
)  # fmt: skip
def test_every_exact_distribution_is_read_without_a_note(parameter: str, expected: Any, tmp_path: Path) -> None:
    assert space(tmp_path, parameter) == (expected, ())


@pytest.mark.parametrize(
    ("parameter", "expected", "note"),
    [
        ("{distribution: normal, mu: 1, sigma: 2}",
         {"type": "float", "min": -5.0, "max": 7.0, "prior": {"mean": 1, "std": 2}}, "3 standard deviations"),
        ("{distribution: q_normal, mu: 10, sigma: 2, q: 2}",
         {"type": "int", "min": 4, "max": 16, "step": 2, "prior": {"mean": 10, "std": 2}}, "3 standard deviations"),
        ("{distribution: log_normal, mu: 0, sigma: 1}",
         {"type": "float", "min": 0.0497871, "max": 20.0855, "log": True, "prior": {"median": 1.0, "factor": 2.71828}},
         "3 standard deviations"),
        ("{values: [true, false], probabilities: [0.1, 0.9]}",
         {"values": ["True", "False"], "prior": {"weights": [0.1, 0.9]}}, "True and False"),
        ("{values: [1, null]}", [1, "None"], "the word None"),
        ("{values: [true, false]}", ["True", "False"], "True and False"),
        ("{distribution: log_uniform, min: 1e-5, max: 0.1}", "1.00001..1.10517 log", "exponents of e"),
        ("{distribution: strange, min: 1, max: 2}", "1.0..2.0", "unknown distribution"),
        ("{min: 1, max: 2, colour: red}", "1..2", "has no counterpart: colour"),
    ],
)  # fmt: skip
def test_what_is_not_exact_is_told(parameter: str, expected: Any, note: str, tmp_path: Path) -> None:
    parameters, notes = space(tmp_path, parameter)
    assert parameters == expected
    assert [text for text in notes if note in text and text.startswith("parameters.x: ")]


def test_nested_parameters_have_names_with_dots(tmp_path: Path) -> None:
    text = (
        SWEEP
        + "  opt:\n    parameters:\n      beta: {min: 0.8, max: 0.99}\n      decay: {parameters: {rate: {value: 1}}}\n"
    )
    parameters = plain(read(tmp_path, text).document)["parameters"]
    assert (parameters["opt.beta"], parameters["opt.decay.rate"]) == ("0.8..0.99", [1])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ('["${env}", "${interpreter}", "${program}", "${args}"]', "python train.py {args}"),
        ('[python3, -m, pkg.train, --data, "a b", "${args_no_hyphens}"]', "python3 -m pkg.train --data 'a b' {hydra}"),
        ('["${program}", "${args_json_file}"]', 'train.py "$ORCHESTUNE_PARAMS"'),
        ('[sh, -c, "run {x}", "${envvar:HOME}"]', "sh -c 'run {{x}}' \"${HOME}\""),
        ('["${program}", "--out=${envvar:HOME}/a b"]', "train.py --out=\"${HOME}\"'/a b'"),
    ],
)
def test_macros_of_the_command_become_placeholders(command: str, expected: str, tmp_path: Path) -> None:
    assert plain(read(tmp_path, f"{SWEEP}command: {command}\n").document)["run"] == expected


def test_flags_without_values_stay_flags(tmp_path: Path) -> None:
    text = SWEEP + "  amp: {values: [true, false]}\n"
    text += 'command: ["${interpreter}", "${program}", "${args_no_boolean_flags}"]\n'
    assert plain(read(tmp_path, text).document)["parameters"]["amp"] == [True, False]


def test_hyperband_becomes_the_rule_that_does_the_same(tmp_path: Path) -> None:
    draft = read(tmp_path, SWEEP + "early_terminate: {type: hyperband, s: 2, eta: 3, max_iter: 27, strict: true}\n")
    assert plain(draft.document)["early_stopping"] == {"type": "asha", "min_steps": 3, "reduction": 3}
    assert [note.partition(":")[0] for note in draft.notes] == ["early_terminate.strict", "early_terminate"]


def test_what_has_no_counterpart_is_told(tmp_path: Path) -> None:
    draft = read(tmp_path, SWEEP.replace("bayes", "custom").replace("run_cap: 30\n", "") + "image_uri: x\n")
    assert [note for note in draft.notes if "method custom" in note]
    assert [note for note in draft.notes if "run_cap" in note]
    assert "has no counterpart: image_uri" in draft.notes


def test_a_grid_has_its_size_as_budget(tmp_path: Path) -> None:
    text = "program: train.py\nmethod: grid\nmetric: {name: a}\nparameters: {x: {values: [1, 2]}}\n"
    experiment = plain(read(tmp_path, text).document)
    assert (experiment["engine"], "budget" in experiment) == ("grid", False)


def test_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, SWEEP + "  bad: {distribution: uniform, min: 1}\n")
    assert "sweep.yaml:11:8: parameters.bad: needs min and max" in str(error.value)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("{distribution: log_uniform, min: 1, max: 1000}", "log_uniform_values takes the values themselves"),
        ("{distribution: inv_log_uniform, min: -1000, max: 1}", "takes exponents of e"),
        ("{distribution: log_normal, mu: 800}", "takes exponents of e"),
        ("{distribution: q_uniform, min: 1, max: 9, q: -2}", "bad.q: must be more than 0"),
        ("{distribution: uniform, min: 1, max: .inf}", "needs min and max"),
        ("{values: [1, 2], probabilities: [1]}", "one probability for each"),
        ("{values: [1, 2], probabilities: 1}", "one probability for each"),
    ],
)
def test_numbers_that_no_distribution_has_are_refused(parameter: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        read(tmp_path, f"{SWEEP}  bad: {parameter}\n")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "parameter",
    [
        "{distribution: q_log_normal, mu: 3, sigma: 0.5, q: 1}",
        "{distribution: normal, mu: 0, sigma: 1}",
        "{distribution: beta, a: 2, b: 5}",
        "{values: [true, false], probabilities: [3, 1]}",
    ],
)
def test_what_is_written_is_an_experiment_file_with_that_prior(parameter: str, tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(save.text(read(tmp_path, f"{SWEEP}  x: {parameter}\n").document))
    assert load(tmp_path / "experiment.yml").specification.space.by_name["x"].prior is not None


def test_a_sweep_without_a_program_has_no_command(tmp_path: Path) -> None:
    draft = read(tmp_path, SWEEP.replace("program: train.py\n", ""))
    assert "run" not in plain(draft.document)
    assert "names no program" in draft.notes[0]


def test_a_script_that_logs_with_wandb_runs_untouched(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os, wandb\nwandb.init()\nwandb.log({'val/loss': wandb.config.lr})\n")
    draft = read(tmp_path, SWEEP)
    experiment = plain(draft.document)
    assert experiment["env"] == {"WANDB_MODE": "offline"}
    assert experiment["collect"]["regex"].startswith(r"^wandb:\s+val/loss\s+(?P<val_loss>")
    assert len(draft.notes) == 2
    change = "in line 2 write wandb.init(config=dict(orchestune.params()), …), above it `import orchestune`"
    assert f"train.py reads wandb.config, which no agent fills: {change}" in draft.notes[1]


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("run = wandb.init(project='p')\nlr = run.config.lr\n", "run.config"),
        ("with wandb.init(project='p') as job:\n    lr = job.config['lr']\n", "job.config"),
        ("cfg = wandb.init(project='p').config\n", "wandb.init().config"),
        ("wandb.init()\nmain(wandb.config)\n", "wandb.config"),
    ],
)
def test_a_script_with_parameters_from_wandb_gets_the_line_to_change(script: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"import wandb\n\n{script}")
    for sweep in (SWEEP, SWEEP.replace("metric:", "other:")):
        (note,) = [note for note in read(tmp_path, sweep).notes if "no agent fills" in note]
        assert note.startswith(f"train.py reads {name}, which no agent fills: in line 3 write wandb.init(config=")


@pytest.mark.parametrize(
    "script",
    ["wandb.init(config=args)\n", "wandb.init(config=dict(orchestune.params(lr=0.1)))\nwandb.config.lr\n"],
)
def test_a_script_that_needs_no_change_gets_no_such_note(script: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(f"import orchestune, wandb\n{script}")
    assert not [note for note in read(tmp_path, SWEEP).notes if "no agent fills" in note]


def test_a_script_under_early_stopping_has_to_print_its_metric(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import wandb\n")
    draft = read(tmp_path, SWEEP + "early_terminate: {type: hyperband, min_iter: 3}\n")
    example = 'print it beside wandb.log, as print(f"val/loss={value}")'
    assert f"early_terminate: needs val/loss while a trial runs: {example}" in draft.notes


def test_what_wandb_prints_at_the_end_is_understood(tmp_path: Path) -> None:
    from orchestune.worker.metrics.scanner import Declared, Scanner

    (tmp_path / "train.py").write_text("import wandb\n")
    expression = plain(read(tmp_path, SWEEP).document)["collect"]["regex"]
    scanner = Scanner(Declared(["val/loss"], [expression]))
    history = "wandb: Run history:\nwandb: val/loss █▃▁\n\x1b[34mwandb\x1b[0m: \n"
    printed = f"{history}wandb: Run summary:\nwandb: val/loss 0.16667\n"
    assert [(one.name, one.value) for one in scanner.feed(printed.encode())] == [("val/loss", 0.16667)]
    diverged = [one.value for word in ("nan", "NaN", "Infinity", "-Infinity", "inf")
                for one in scanner.feed(f"wandb: val/loss {word}\n".encode())]  # fmt: skip
    assert repr(diverged) == "[nan, nan, inf, -inf, inf]"


def test_running_a_sweep_says_how_it_becomes_an_experiment(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    with pytest.raises(BadInput) as error:
        load(path)
    assert f"this is a sweep of W&B (convert it with `orchestune init --from {path}" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: 1\n", "unsupported file"), ("[1]\n", "is not a mapping"), ("run: x\n", "is already an experiment file")],
)
def test_other_files_are_refused_with_what_is_known(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        reading.read(str(tmp_path / "nothing.yaml"))


def test_names_that_none_can_have_here_are_written_otherwise(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import wandb\n")
    text = SWEEP.replace("val/loss", "Validation Loss") + "  learning rate: {min: 0.1, max: 0.5}\n"
    text += "  width 1: {value: 1}\n  width_1: {value: 2}\n  width-1: {value: 3}\n"
    draft = read(tmp_path, text + "  my opt: {parameters: {beta 1: {min: 0.1, max: 0.5}}}\n")
    experiment = plain(draft.document)
    assert list(experiment["parameters"]) == [
        "lr", "layers", "epochs", "learning_rate", "width_1_", "width_1", "width-1", "my_opt.beta_1",
    ]  # fmt: skip
    assert experiment["metrics"] == {"Validation_Loss": "minimize"}
    assert "Validation\\ Loss\\s+(?P<Validation_Loss>" in experiment["collect"]["regex"]
    assert [note for note in draft.notes if note.startswith("parameters.learning rate: renamed to learning_rate: ")]


def test_the_script_of_a_sweep_may_lie_where_an_agent_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "train.py").write_text("import wandb\n")
    monkeypatch.chdir(tmp_path)
    assert plain(read(Path("sweeps"), SWEEP).document)["env"] == {"WANDB_MODE": "offline"}
