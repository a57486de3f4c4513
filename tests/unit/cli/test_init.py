"""`init`: from a script, or from another tool's file, to an experiment file."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from orchestune.config.experiment_file import load
from tests.testbeds.home import Home
from tests.unit.cli.conftest import Result, Terminal, plain

Cli = Callable[..., Result]
SCRIPT = """\
import argparse

p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.01, help="how fast")
p.add_argument("--layers", type=int, default=3)
p.add_argument("--seed", type=int, default=0)
a = p.parse_args()
print(f"lr: {a.lr} layers: {a.layers} seed={a.seed}")
for epoch in range(3):
    print(f"epoch {epoch} train_loss: {1 / (epoch + 1):.3f} val/loss: {a.lr * (3 - epoch):.3f}")
print("accuracy=0.9")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_server: Home) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(folder)
    return folder


def written(folder: Path) -> str:
    """The file, without what depends on where this package is installed."""
    return re.sub(r"\$schema=\S+", "$schema=…", (folder / "experiment.yml").read_text())


FILE = """\
# yaml-language-server: $schema=…
# `orchestune run` starts this experiment, `orchestune test` runs one trial of it.

# The command of one trial
run: python train.py {args}

# The search space: each parameter with its range or values
parameters:
  lr: 0.0001..1.0 log  # default 0.01: how fast
  layers: 1..6  # default 3
  #
  # not varied; remove the # to vary one too, and add its default to try_first:
  # seed: 0..10  # default 0

# The metrics; the first one decides which trial is best, all together the Pareto front
metrics:
  val/loss: minimize  # reported 3 times; the last value counts, with {goal: minimize, take: best} the best one

# The number of finished trials
budget: 40

# The maximum number of trials that run at the same time; with folds, of folds
parallelism: 1

# Configurations to run before those that the engine suggests
try_first: [{lr: 0.01, layers: 3}]
"""


def test_a_script_is_read_run_once_and_described(cli: Cli, project: Path) -> None:
    done = cli("init", "train.py", "--yes")
    assert done.code == 0, done.err
    assert written(project).replace("python3 ", "python ") == FILE
    assert "wrote experiment.yml: 2 parameters, minimize val/loss, 40 trials" in done.out
    assert "orchestune test" in done.out
    assert "train.py: 3 options, by argparse" in done.err
    assert re.search(r"val/loss +0\.01, 3 times", done.err)
    assert "lr: 0.01 layers: 3 seed=0" in done.out  # with the script's own values
    assert load(project / "experiment.yml").specification.metrics[0].name == "val/loss"


def test_the_run_leaves_nothing_in_the_folder(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT + "open('left', 'w').close()\n")
    assert cli("init", "train.py", "--yes").code == 0
    assert sorted(path.name for path in project.iterdir()) == ["experiment.yml", "train.py"]


def test_a_file_is_replaced_with_force_alone(cli: Cli, project: Path) -> None:
    (project / "experiment.yml").write_text("mine")
    refused = cli("init", "train.py", "--minimize", "loss")
    assert refused.code == 2
    assert "--force" in refused.err
    assert written(project) == "mine"
    assert cli("init", "train.py", "--minimize", "loss", "--force").code == 0
    assert "loss: minimize" in written(project)


def test_a_parameter_that_the_user_enables_is_missing_in_try_first_and_the_error_says_what_to_add(
    cli: Cli, project: Path
) -> None:
    assert cli("init", "train.py", "--minimize", "loss").code == 0
    text = (project / "experiment.yml").read_text().replace("# seed:", "seed:")
    (project / "experiment.yml").write_text(text)
    refused = cli("run", "--dry-run")
    assert refused.code == 2
    assert "try_first[0]: seed has no value" in refused.err
    assert "add one of its range, such as `seed: 5`" in refused.err
    (project / "experiment.yml").write_text(text.replace("layers: 3}", "layers: 3, seed: 0}"))
    assert load(project / "experiment.yml").specification.try_first[0]["seed"] == 0


def test_a_named_metric_needs_no_run(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT + "raise SystemExit(7)\n")
    done = cli("init", "train.py", "--maximize", "accuracy", "--budget", "9", "lr=1e-3..1e-2:log", "seed=1,2")
    assert done.code == 0, done.err
    specification = load(project / "experiment.yml").specification
    assert (specification.budget, specification.metrics[0].goal) == (9, "maximize")
    assert [(one.name, one.low) for one in specification.space.parameters] == [
        ("lr", 0.001),
        ("layers", 1),
        ("seed", None),
    ]
    assert "# seed" not in written(project)


def test_no_run_runs_no_line_of_the_script(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(f"open('{project}/ran', 'w')\n{SCRIPT}")
    assert cli("init", "train.py", "--no-run", "--minimize", "loss").code == 0
    assert not (project / "ran").exists()


def test_without_a_terminal_nothing_is_guessed_unless_it_is_allowed(cli: Cli, project: Path) -> None:
    done = cli("init", "train.py")
    assert done.code == 2
    assert "no metric to optimize" in done.err
    assert "--minimize METRIC" in done.err
    assert not (project / "experiment.yml").exists()


def test_a_run_that_fails_writes_nothing(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT + "raise SystemExit(7)\n")
    done = cli("init", "train.py", "--yes")
    assert done.code == 2
    assert "the run failed: exited with code 7" in done.err and "to skip the run\n" in done.err
    assert not (project / "experiment.yml").exists()
    (project / "src").mkdir()
    (project / "src/train.py").write_text("open('rows.csv')\n" + SCRIPT)
    assert (
        "if it expects to run in src, change to that folder first: cd src" in cli("init", "src/train.py", "--yes").err
    )


def test_a_run_that_reports_nothing_of_a_known_name_asks_for_it(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.partition("for epoch")[0] + "print('zorp=1.5')\n")
    done = cli("init", "train.py", "--yes")
    assert done.code == 2
    assert "(zorp)" in done.err


WRITES = {
    "csv": "open('history.csv', 'w').write('epoch,val_loss\\n1,0.5\\n2,0.25\\n')",
    "jsonl": 'open(\'log.jsonl\', \'w\').write(\'{"step": 1, "val_loss": 0.5}\\n{"step": 2, "val_loss": 0.25}\\n\')',
    "json": "open('all.json', 'w').write('{\"val_loss\": 0.25, \"name\": \"x\"}')",
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_metric_in_a_file_is_found_and_collected(kind: str, cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.partition("for epoch")[0] + WRITES[kind] + "\n")
    done = cli("init", "train.py", "--yes")
    assert done.code == 0, done.err
    [source] = load(project / "experiment.yml").specification.collect
    assert source.kind == kind
    assert f"in {source.where}" in done.err
    assert cli("test").code == 0


def test_event_files_of_tensorboard_are_found(cli: Cli, project: Path) -> None:
    write = "from tensorboardX import SummaryWriter\nw = SummaryWriter('runs/one')\nw.add_scalar('val/loss', 0.25, 1)\n"
    write += "w.close()\n"
    (project / "train.py").write_text(SCRIPT.partition("for epoch")[0] + write)
    done = cli("init", "train.py", "--yes", "--", sys.executable, "train.py", "{args}")
    assert done.code == 0, done.err
    specification = load(project / "experiment.yml").specification
    assert [(one.kind, one.where) for one in specification.collect] == [("tensorboard", "runs")]
    assert specification.metrics[0].name == "val/loss"


def test_a_file_that_lay_there_before_is_no_result(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.partition("for epoch")[0])
    (project / "old.csv").write_text("epoch,val_loss\n1,0.5\n")
    os.utime(project / "old.csv", (1, 1))
    assert "nothing that was reported" in cli("init", "train.py", "--yes").err


def test_json_tells_the_same_and_asks_nothing(cli: Cli, project: Path) -> None:
    done = cli("init", "train.py", "--yes", "--json")
    document = json.loads(done.out)
    assert document["file"] == "experiment.yml"
    assert document["reported"] == {"train_loss": 0.333, "val/loss": 0.01, "accuracy": 0.9}
    assert [one["name"] for one in document["specification"]["parameters"]] == ["lr", "layers"]


@pytest.mark.parametrize(
    ("line", "library"),
    [
        ("import optuna", "optuna"),
        ("from ray import train, tune", "ray"),
        ("import ray.tune", "ray"),
        ("    from hyperopt import fmin", "hyperopt"),
        ("import ray", ""),
        ("import optunaish", ""),
    ],
)
def test_a_script_that_searches_by_itself_is_told_what_a_trial_is(
    cli: Cli, project: Path, line: str, library: str
) -> None:
    (project / "search.py").write_text(f"if True:\n    pass\n{line}\n" if line[0] != " " else f"if True:\n{line}\n")
    messages = cli("init", "search.py", "--minimize", "loss").err
    assert (f"search.py runs its own search with {library}" in messages) is bool(library)
    assert ("make each trial one call of its objective" in messages) is bool(library)
    assert ("`init --from` imports the results of a study" in messages) is (library == "optuna")


def test_a_script_that_needs_a_value_says_which(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.replace("a = p", "p.add_argument('data')\na = p"))
    refused = cli("init", "train.py", "--minimize", "val/loss")
    assert refused.code == 2
    assert "train.py cannot run without data" in refused.err
    assert cli("init", "train.py", "--yes", "--", "python3", "train.py", "my.csv", "{args}").code == 0
    assert load(project / "experiment.yml").specification.run == "python3 train.py my.csv {args}"


def test_a_command_that_is_to_be_typed_takes_a_name_with_spaces(cli: Cli, project: Path) -> None:
    (project / "my train.py").write_text(SCRIPT.replace("a = p", "p.add_argument('data')\na = p"))
    (project / "my sweep.yml").write_text("method: grid\nprogram: train.py\nparameters: {lr: {values: [1, 2]}}\n")
    messages = cli("init", "my train.py", "--minimize", "val/loss").err
    messages += (
        cli("init", "--from", "my train.py").err + cli("run", "-f", "my sweep.yml").err + cli("run", "my train.py").err
    )
    assert "whole command: orchestune init 'my train.py' … --" in messages
    assert "orchestune init 'my train.py'`, without --from" in messages
    assert "orchestune init --from 'my sweep.yml'" in messages
    assert "create the file of a script with `orchestune init 'my train.py'`" in messages


CONFIGURED = """\
import argparse, json
p = argparse.ArgumentParser()
p.add_argument("--config", required=True)
p.add_argument("--seed", type=int, default=0)
print("loss:", json.load(open(p.parse_args().config))["lr"])
"""


@pytest.fixture
def configured(project: Path) -> Path:
    (project / "train.py").write_text(CONFIGURED)
    (project / "base.json").write_text('{"lr": 0.01}')
    return project


@pytest.mark.parametrize(
    ("options", "run"),
    [
        (["--", "python3", "train.py", "--config", "base.json"], "python3 train.py --config {config}"),
        (["--", "python3", "train.py", "--config=base.json"], "python3 train.py --config={config}"),
        (["--config=base.json", "--", "python3", "train.py", "--c", "{config}"], "python3 train.py --c {config}"),
    ],
)  # fmt: skip
def test_a_configuration_that_the_command_names_is_varied(
    options: list[str], run: str, cli: Cli, configured: Path
) -> None:
    done = cli("init", "train.py", "--yes", *options)
    assert done.code == 0, done.err
    specification = load(configured / "experiment.yml").specification
    assert specification.run == run
    assert [parameter.name for parameter in specification.space.parameters] == ["lr"]


def test_a_script_that_needs_a_configuration_says_how_it_is_named(cli: Cli, configured: Path) -> None:
    refused = cli("init", "train.py", "--yes")
    assert refused.code == 2
    assert "orchestune init train.py --config FILE" in refused.err
    assert cli("init", "train.py", "--yes", "--config", "base.json").code == 0
    assert "config: base.json" in written(configured)


def test_without_a_script_the_use_is_told(cli: Cli, project: Path) -> None:
    assert "init needs a script or --from" in cli("init").err
    assert "cannot read" in cli("init", "nothing.py").err


SWEEP = (
    "program: train.py\nmethod: random\nmetric: {name: val/loss}\nrun_cap: 5\nparameters: {lr: {min: 0.0, max: 1.0}}\n"
)


def test_a_sweep_becomes_a_file_that_runs(cli: Cli, project: Path) -> None:
    (project / "sweep.yaml").write_text(SWEEP + "early_terminate: {type: envelope}\n")
    done = cli("init", "--from", "sweep.yaml")
    assert done.code == 0, done.err
    assert "note  early_terminate.type: the type envelope has no counterpart" in done.err
    assert cli("test").code == 0
    refused = cli("run", "-f", "sweep.yaml")
    assert refused.code == 2
    assert "orchestune init --from sweep.yaml" in refused.err


def test_a_sweep_without_a_metric_is_run_once_like_a_script(cli: Cli, project: Path) -> None:
    (project / "sweep.yaml").write_text(SWEEP.replace("metric: {name: val/loss}\n", ""))
    assert cli("init", "--from", "sweep.yaml", "--yes").code == 0
    assert load(project / "experiment.yml").specification.metrics[0].name == "val/loss"


ORCHESTRATE = """\
name: old
run: python3 train.py {args}
framework: python
optimization:
  metrics: [{name: accuracy}]
  parameters:
    - {name: lr, type: double, bounds: {min: 0, max: 1}}
  observation_budget: 6
"""


def test_an_older_file_is_written_as_todays(cli: Cli, project: Path) -> None:
    (project / "orchestrate.yml").write_text(ORCHESTRATE)
    done = cli("init", "--from", "orchestrate.yml")
    assert done.code == 0, done.err
    assert "no effect: framework" in done.err
    assert "  lr: 0.0..1.0\n" in written(project)
    assert "  accuracy: maximize\n" in written(project)
    assert load(project / "experiment.yml").notes == ()


def test_an_older_file_that_is_wrong_leaves_nothing_behind(cli: Cli, project: Path) -> None:
    (project / "train.py").write_text("import orchestrate.io\n")
    (project / "orchestrate.yml").write_text(ORCHESTRATE.replace("min: 0", "min: 2"))
    before = sorted(project.rglob("*"))
    done = cli("init", "--from", "orchestrate.yml")
    assert done.code == 2
    assert sorted(project.rglob("*")) == before


def test_a_limit_is_not_told_as_a_goal(cli: Cli, project: Path) -> None:
    metrics = (
        "[{name: accuracy, objective: maximize}, {name: size, objective: minimize, strategy: constraint, threshold: 9}]"
    )
    text = re.sub(r"metrics: .*", f"metrics: {metrics}", ORCHESTRATE)
    (project / "orchestrate.yml").write_text(text)
    done = cli("init", "--from", "orchestrate.yml")
    assert done.code == 0, done.err
    assert "maximize accuracy, size <= 9, " in done.out


def test_a_parameter_that_is_no_option_of_the_script_is_told(cli: Cli, project: Path) -> None:
    done = cli("init", "train.py", "--minimize", "loss", "layer=1..3", "lr=0.1..0.2", "zorp=1,2")
    assert done.code == 0, done.err
    assert "layer: not a known option of train.py (did you mean layers?)\n" in done.err
    assert "zorp: not a known option of train.py\n" in done.err
    assert "lr: train.py" not in done.err
    placed = cli("init", "train.py", "--minimize", "loss", "--force", "a=1,2", "--", "train.py", "--lr={a}", "{args}")
    assert (placed.code, "no such option" in placed.err) == (0, False)


STRICT = """\
#!/bin/sh
for word in "$@"; do case "$word" in --x=*) ;; *) echo "unknown $word" >&2; exit 2 ;; esac; done
echo loss=1
"""


def test_a_program_of_unknown_options_has_the_parameters_that_are_named_and_no_example(cli: Cli, project: Path) -> None:
    (project / "train.sh").write_text(STRICT)
    done = cli("init", "train.sh", "x=0.0..1.0", "--yes")
    assert done.code == 0, done.err
    assert "example" not in done.err
    text = written(project)
    assert "parameters:\n  x: 0.0..1.0\n\n" in text, text


def test_a_notebook_is_no_program(cli: Cli, project: Path) -> None:
    (project / "train.ipynb").write_text("{}")
    done = cli("init", "train.ipynb", "--minimize", "loss")
    assert (done.code, "cannot run 'train.ipynb': it is a notebook" in done.err) == (2, True)
    words = ["lr=0.1..1.0", "--", "papermill", "train.ipynb", "-", "{args}"]
    assert cli("init", "train.ipynb", "--minimize", "loss", *words).code == 0


def test_a_study_of_optuna_begins_where_it_ended(cli: Cli, project: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.RDBStorage("sqlite:///study.db")
    study = optuna.create_study(study_name="mnist", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("lr", 0.001, 0.1, log=True), n_trials=3)
    storage.remove_session()
    storage.engine.dispose()
    done = cli("init", "--from", "sqlite:///study.db", "train.py", "--minimize", "val/loss")
    assert done.code == 0, done.err
    specification = load(project / "experiment.yml").specification
    assert specification.run in ("python train.py {args}", "python3 train.py {args}")
    assert specification.space.parameters[0].low == 0.001
    assert "wrote mnist-results.jsonl" in done.out
    lines = (project / "mnist-results.jsonl").read_text().splitlines()
    assert [set(json.loads(line)["metrics"]) for line in lines] == [{"val/loss"}] * 3
    assert "warm_start: mnist-results.jsonl" in written(project)
    [results] = load(project / "experiment.yml").warm_start.known
    assert len(results.observations) == 3


def test_results_are_not_left_where_the_file_is_refused(cli: Cli, project: Path) -> None:
    storage = optuna.storages.RDBStorage("sqlite:///study.db")
    study = optuna.create_study(study_name="mnist", storage=storage)
    study.optimize(lambda trial: trial.suggest_float("not a name", 0, 1), n_trials=1)
    storage.remove_session()
    storage.engine.dispose()
    done = cli("init", "--from", "study.db", "not a name=0..1")
    assert done.code == 2
    assert "'not a name' is not a valid name for a parameter" in done.err
    assert sorted(os.listdir(project)) == ["study.db", "train.py"]


@pytest.mark.parametrize("answers", ["\n\n\n", "y\nval/loss\nmin\n"])
def test_questions_are_answered_at_a_terminal(terminal: Callable[..., Terminal], project: Path, answers: str) -> None:
    screen = terminal("init", "train.py")
    screen.wait_for(r"run it once now")
    for question, answer in zip(
        ("run it once", "which metric should", "minimize or maximize"), answers.split("\n"), strict=False
    ):
        screen.wait_for(question)
        screen.press(f"{answer}\n")
    screen.wait_for(r"orchestune run")
    assert screen.end() == 0, plain(screen.screen)
    assert "val/loss: minimize" in written(project)


def test_a_configuration_that_is_answered_is_varied(terminal: Callable[..., Terminal], configured: Path) -> None:
    screen = terminal("init", "train.py", "--minimize", "loss")
    screen.wait_for("enter a value:")
    screen.press("base.json\n")
    assert screen.end() == 0, plain(screen.screen)
    assert "--config={config}" in written(configured)


def test_a_metric_that_was_not_seen_is_questioned(terminal: Callable[..., Terminal], project: Path) -> None:
    screen = terminal("init", "train.py")
    screen.wait_for("run it once")
    screen.press("\n")
    screen.wait_for("which metric should")
    screen.press("val/los\n")
    screen.wait_for("did you mean val/loss")
    screen.press("n\n")
    screen.wait_for("which metric.*(?s:.*)which metric")
    screen.press("accuracy\n")
    screen.wait_for(r"minimize or maximize it\? \[maximize\]")
    screen.press("\n")
    screen.wait_for(r"orchestune run")
    assert screen.end() == 0
    assert "accuracy: maximize" in written(project)


def test_ctrl_c_ends_the_run_and_what_it_said_counts(terminal: Callable[..., Terminal], project: Path) -> None:
    (project / "train.py").write_text("import time\nLR = 0.1\nprint('loss: 0.5', flush=True)\ntime.sleep(600)\n")
    screen = terminal("init", "train.py")
    screen.wait_for("run it once")
    screen.press("\n")
    screen.wait_for("loss: 0.5")
    screen.press("\x03")
    screen.wait_for("which metric should")
    screen.press("\n")
    screen.wait_for("minimize or maximize")
    screen.press("\n")
    screen.wait_for(r"orchestune run")
    assert screen.end() == 0
    assert "loss: minimize" in written(project)


def test_with_nobody_to_choose_ctrl_c_ends_the_whole_command(terminal: Callable[..., Terminal], project: Path) -> None:
    (project / "train.py").write_text("import time\nLR = 0.1\nprint('loss: 0.5', flush=True)\ntime.sleep(600)\n")
    screen = terminal("init", "train.py", "--yes")
    screen.wait_for("loss: 0.5")
    screen.press("\x03")
    assert screen.end() == 130
    assert os.listdir(project) == ["train.py"]


def test_what_no_metric_can_be_called_is_asked_for_again(terminal: Callable[..., Terminal], project: Path) -> None:
    screen = terminal("init", "train.py")
    screen.wait_for("run it once")
    screen.press("n\n")
    for name, why in (
        ("los s", "'los s' is not a valid name for a metric"),
        ("step", "reports use this name for something else"),
    ):
        screen.wait_for(r"which metric will it report\? $")
        screen.press(f"{name}\n")
        screen.wait_for(why)
    screen.wait_for(r"which metric will it report\? $")
    screen.press("val/loss\n")
    screen.wait_for("minimize or maximize")
    screen.press("\n")
    screen.wait_for(r"orchestune run")
    assert screen.end() == 0
    assert "val/loss: minimize" in written(project)


def test_no_answer_writes_nothing(terminal: Callable[..., Terminal], project: Path) -> None:
    screen = terminal("init", "train.py")
    screen.wait_for("run it once")
    screen.press("\x04")
    assert screen.end() == 1
    assert re.search(r"^error: no answer", plain(screen.screen).replace("\r", ""), re.MULTILINE)
    assert os.listdir(project) == ["train.py"]


def test_what_cannot_be_started_is_told(cli: Cli, project: Path) -> None:
    (project / "train.cpp").write_text("int main() { return 0; }\n")
    done = cli("init", "train.cpp", "--minimize", "loss", "lr=0.1..1.0")
    assert done.code == 0, done.err
    assert "'./train.cpp' is not executable: run `chmod +x ./train.cpp`, or put its interpreter before it" in done.err


def test_the_table_is_no_wider_than_the_terminal(terminal: Callable[..., Terminal], project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.replace("how fast", "how fast, which is a longer story than fits here"))
    screen = terminal("init", "train.py", "--minimize", "loss", columns=60)
    assert screen.end() == 0
    lines = plain(screen.screen).splitlines()
    [row] = [line for line in lines if line.startswith("  lr ")]
    assert row.endswith("…") and len(row) == 60


def test_a_sweep_is_run_by_the_python_that_there_is(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sweep.yaml").write_text(SWEEP)
    (project / "bin").mkdir()
    (project / "bin" / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(project / "bin"))
    assert cli("init", "--from", "sweep.yaml", "--minimize", "loss").code == 0
    assert "\nrun: python3 train.py {args}\n" in written(project)


def test_a_parameter_with_a_list_longer_than_names_of_files_is_no_script(project: Path, cli: Cli) -> None:
    (project / "sweep.yaml").write_text(
        "program: train.py\nmethod: random\nmetric: {name: val/loss, goal: minimize}\nparameters: {lr: {values: [1]}}\n"
    )
    listed = ",".join(map(str, range(100, 200)))
    done = cli("init", f"layers={listed}", "--from", "sweep.yaml")
    assert done.code == 0, done
    assert len(load(project / "experiment.yml").specification.space.by_name["layers"].choices) == 100


@pytest.mark.parametrize("words", [("loop.py",), ("train.py", "-o", "loop.py/experiment.yml")])
def test_a_link_to_itself_is_an_error_in_one_sentence(project: Path, cli: Cli, words: tuple[str, ...]) -> None:
    (project / "loop.py").symlink_to("loop.py")
    done = cli("init", *words, "--minimize", "loss")
    assert done.code == 2
    assert re.match("error: (cannot read loop.py: Too many levels|train.py is outside )", done.err)
