"""`run`: checks first, says what it does, sends what the server needs, and nothing more."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestune.backends.docker.plan import DockerHost
from orchestune.cli.develop.configuration import configuration
from orchestune.cli.experiments.plan import plan_lines
from orchestune.cli.terminal.render import Paint
from orchestune.client.local.experiment_index import ExperimentIndex, StartedExperiment
from orchestune.client.local.home import state_folder
from orchestune.client.local.launch_context import folder_key
from orchestune.config.experiment_file import load, parse
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput
from tests.testbeds.home import Home
from tests.testbeds.processes import alive
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer, status, trial, until

Cli = Callable[..., Result]
EXPERIMENT = """\
name: SGD classifier
run: python model.py {args}
parameters:
  alpha: 1e-6..0.1 log
  penalty: [l1, l2, elasticnet]
  l1_ratio: {type: float, min: 0, max: 1, when: {penalty: elasticnet}}
metrics:
  accuracy: maximize
budget: 40
parallelism: 2
resources: {cpu: 1, memory: 2Gi}
secrets: {KEY: env:MY_KEY}
"""
MODEL = """\
import os
print("data:", open("data/big.bin").read())
print("accuracy=0.5")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment and data that git ignores; the current folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "experiment.yml").write_text(EXPERIMENT)
    (folder / "model.py").write_text(MODEL)
    (folder / "data").mkdir()
    (folder / "data" / "big.bin").write_text("something")
    (folder / ".gitignore").write_text("data/\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MY_KEY", "value-of-the-key")
    return folder


@pytest.fixture
def specification(project: Path) -> Specification:
    return load(project / "experiment.yml").specification


def test_run_sends_the_code_once_and_what_trials_need(server: FakeServer, cli: Cli, project: Path) -> None:
    result = cli("run", "--detach")
    assert (result.code, result.out, result.err) == (0, "sgd-7f3a\n", "")
    cli("run", "--detach")
    assert len(server.requests_to("PUT", "/bundles/")) == 1
    body = server.world.created[0]
    assert body["specification"]["name"] == "SGD classifier"
    assert body["folder"] == folder_key(project)
    assert "cluster" not in body  # a remote server has one of its own
    assert body["secrets"] == {"KEY": "value-of-the-key"}
    assert body["launch"]["root"] == str(project)
    assert body["launch"]["links"] == ["data"]
    assert "PATH" in body["launch"]["env"]
    assert "value-of-the-key" not in json.dumps(body["launch"])
    with tarfile.open(fileobj=io.BytesIO(server.world.bundles[body["bundle"]])) as archive:
        assert {"model.py", "experiment.yml", ".gitignore"} <= set(archive.getnames())
        assert not any(name.startswith("data") for name in archive.getnames())


def test_in_a_folder_whose_name_is_no_utf8_commands_find_its_experiments_and_run_names_it(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"bad\xff")
    folder.mkdir()
    (folder / "experiment.yml").write_text("run: 'true'\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 1\n")
    monkeypatch.chdir(folder)
    server.world.folders[folder_key(folder)] = ["sgd-7f3a"]
    assert (cli("trials").code, cli("stop").out) == (0, "sgd-7f3a: stopped\n")
    refused = cli("run")
    message = f"the folder's name is not valid UTF-8: '{tmp_path}/bad\\xff'"
    assert (refused.code, refused.err) == (2, f"error: {message}\nhint:  rename the folder\n")
    assert not server.world.created
    assert json.loads(cli("run", "--dry-run", "--json").out)["specification"]["name"] == r"bad\xff"


def test_a_file_that_is_a_link_is_about_the_folder_in_which_it_lies(
    server: FakeServer, cli: Cli, project: Path
) -> None:
    (project / "searches").mkdir()
    (project / "experiment.yml").rename(project / "searches" / "wide.yml")
    (project / "experiment.yml").symlink_to("searches/wide.yml")
    result = cli("run", "--detach")
    assert result.code == 0, result.err
    body = server.world.created[0]
    assert body["launch"]["root"] == str(project)
    with tarfile.open(fileobj=io.BytesIO(server.world.bundles[body["bundle"]])) as archive:
        assert {"experiment.yml", "model.py", "searches/wide.yml"} <= set(archive.getnames())


def test_a_file_of_the_folder_above_is_called_as_that_folder(
    server: FakeServer, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "experiment.yml").write_text(EXPERIMENT.replace("name: SGD classifier\n", ""))
    monkeypatch.chdir(project / "data")
    result = cli("run", "-f", "../experiment.yml", "--dry-run", "--json")
    assert json.loads(result.out)["specification"]["name"] == "project"


def test_a_folder_with_a_line_end_in_its_name_stays_in_one_line(
    server: FakeServer, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    (folder / "experiment.yml").write_text("run: 'true'\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 1\n")
    monkeypatch.chdir(folder)
    assert cli("run", "--dry-run").out.splitlines()[0] == "dry run  two lines"


def test_run_says_what_it_does_in_a_few_lines(server: FakeServer, cli: Cli, project: Path) -> None:
    server.update("sgd-7f3a", state="completed")
    result = cli("run")
    assert result.code == 0
    plan = result.out.split("\n\n")[0].splitlines()
    gets = "arguments such as --alpha=VALUE; also ORCHESTUNE_PARAM_ALPHA and $ORCHESTUNE_PARAMS (a JSON file)"
    shared = "all trials share them and can change them, and a cluster would not have them"
    assert plan == [
        "SGD classifier",
        f"  where      the server at {server.url}",
        "  budget     40 trials, 2 at a time with 1 cpu, 2.0 GiB each, engine auto",
        "  parameters alpha     1e-06..0.1 log",
        "             penalty   l1, l2, elasticnet",
        "             l1_ratio  0..1, when penalty is elasticnet",
        "  command    python model.py {args}",
        f"  passed as  {gets}",
        "  metrics    accuracy (maximize); for example a line `accuracy=0.5` on its output",
        "  code       3 files, 385 B",
        "  secrets    KEY from env:MY_KEY",
        f"  note       linked from this folder, not packed: data; {shared}",
        "  experiment sgd-7f3a",
    ]


def test_the_plan_is_one_line_and_its_notes_from_the_second_run_on(server: FakeServer, cli: Cli, project: Path) -> None:
    server.update("sgd-7f3a", state="completed")
    index = ExperimentIndex(state_folder())
    index.add(StartedExperiment("other-1a2b", "1", "local", folder_key(project)))
    index.add(StartedExperiment("sgd-classifier-1a2b", "2", "local", folder_key(project.parent)))
    assert "  passed as  " in cli("run").out, "neither another experiment nor another folder has shown this plan"
    index.add(StartedExperiment("sgd-classifier-1a2b", "3", "local", folder_key(project)))
    trials = "40 trials of alpha, penalty, l1_ratio; 2 at a time with 1 cpu, 2.0 GiB each; engine auto"
    shared = "all trials share them and can change them, and a cluster would not have them"
    assert cli("run").out.split("\n\n")[0].splitlines() == [
        "SGD classifier",
        f"  plan       {trials}; accuracy (maximize); on the server at {server.url} (all: --verbose)",
        "  secrets    KEY from env:MY_KEY",
        f"  note       linked from this folder, not packed: data; {shared}",
        "  experiment sgd-7f3a",
    ]
    assert "  passed as  " in cli("run", "--verbose").out
    assert "  passed as  " in cli("run", "--dry-run").out


def test_the_end_shows_how_the_search_improved_and_what_mattered(server: FakeServer, cli: Cli, project: Path) -> None:
    best = {"trial": 2, "metrics": {"accuracy": {"value": 0.97, "stddev": None}}, "parameters": {"alpha": 0.1}}
    server.world.weights = {"alpha": 0.7, "penalty": 0.26, "l1_ratio": 0.04}
    server.update("sgd-7f3a", state="completed", best=[best], counts={**status()["counts"], "completed": 12})
    lines = cli("run").out.splitlines()
    assert "      best so far              █  0.97" in lines
    assert "      importance    alpha 70 %, penalty 26 %" in lines
    server.update("sgd-7f3a", counts={**status()["counts"], "completed": 9})
    assert "importance" not in cli("run").out


def test_the_plan_is_the_same_after_files_were_fetched(server: FakeServer, cli: Cli, project: Path) -> None:
    before = cli("run", "--dry-run").out
    server.world.files["model.pt"] = b"weights"
    artifact = {"path": "model.pt", "digest": hashlib.sha256(b"weights").hexdigest(), "size": 7}
    server.world.trials["sgd-7f3a"] = [trial(3, artifacts=[artifact])]
    assert cli("get", "sgd/3").code == 0
    assert (project / "sgd-7f3a-3/model.pt").read_bytes() == b"weights"
    assert cli("run", "--dry-run").out == before


def test_of_very_many_values_the_plan_and_an_error_name_the_first_ones(
    server: FakeServer, cli: Cli, project: Path
) -> None:
    many = f"parameters.penalty=[{', '.join(f'p{number}' for number in range(900))}, elasticnet]"
    some = "p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 891 more"
    assert f"penalty   {some}\n" in cli("run", "--dry-run", "--set", many).out
    refused = cli("run", "--dry-run", "--set", many, "--set", "try_first=[{alpha: 0.01, penalty: p1000}]")
    assert f"invalid value: 'p1000' (expected one of {some})\n" in refused.err


def test_the_plan_tells_what_ends_the_search_and_its_trials_early(server: FakeServer, cli: Cli, project: Path) -> None:
    early = ["--set", "early_stopping=asha", "--set", "stop.futile={below: 0.6, after: 20}"]
    lines = cli("run", "--dry-run", *early).out.splitlines()
    assert "  stops      early when accuracy is still below 0.6 after 20 trials" in lines
    assert "  prunes     trials by asha on accuracy" in lines
    one = ["--set", "stop.patience=1", "--set", "stop.max_failures=1"]
    text = "  stops      early when 1 trial brings nothing better or 1 trial failed"
    assert text in cli("run", "--dry-run", *one).out.splitlines()
    text = "  stops      early when 30m 00s have passed"
    assert text in cli("run", "--dry-run", "--set", "stop.time=30m").out.splitlines()


def test_the_plan_tells_from_which_value_on_a_trial_is_good_enough(server: FakeServer, cli: Cli, project: Path) -> None:
    lines = cli("run", "--dry-run", "--set", "metrics.accuracy={goal: maximize, threshold: 0.9}").out.splitlines()
    [text] = [line for line in lines if "  metrics " in line]
    assert text.startswith("  metrics    accuracy (maximize, threshold 0.9); ")


def test_the_plan_tells_where_else_metrics_are_read(server: FakeServer, cli: Cli, project: Path) -> None:
    collect = "collect=[{csv: logs/history.csv}, {regex: 'acc (?P<accuracy>.*)'}]"
    sources = "in logs/history.csv, matches of the `regex`, or a line `accuracy=0.5` on its output"
    assert f"  metrics    accuracy (maximize); {sources}" in cli("run", "--dry-run", "--set", collect).out.splitlines()


@pytest.mark.parametrize("columns", [40, 60])
def test_a_plan_on_a_narrow_terminal_goes_on_below_where_it_began(columns: int) -> None:
    text = EXPERIMENT.replace("model.py", f"{'a' * 60}.py")
    specification = parse(text, "experiment.yml").specification
    lines = plan_lines(
        specification, Path.cwd(), ["a note of " + "many words " * 12], None, Paint(False), columns=columns
    )
    assert f"  command    python {'a' * 60}.py {{args}}" in lines  # it may be copied
    others = [line for line in lines if "aaa" not in line]
    assert all(len(line) <= columns for line in others)
    note = next(index for index, line in enumerate(others) if line.startswith("  note       a note of many words"))
    assert others[note + 1].startswith("             ")
    assert " ".join(line[13:] for line in others[note:]) == ("a note of " + "many words " * 12).strip()


def test_a_dry_run_touches_nothing(server: FakeServer, cli: Cli, project: Path) -> None:
    before = sorted(project.rglob("*"))
    result = cli("run", "--dry-run")
    assert result.code == 0
    assert "nothing was started" in result.out
    assert json.loads(cli("run", "--dry-run", "--json").out)["code"]["links"] == ["data"]
    assert server.world.requests == []
    assert sorted(project.rglob("*")) == before


def test_the_plan_tells_what_is_left_out_of_the_command_and_a_program_that_is_not_here(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTUNE_HOME", "own")
    text = (project / "experiment.yml").read_text()
    (project / "experiment.yml").write_text(text.replace("python model.py {args}", "pyhton model.py {alpha} {penalty}"))
    notes = [line.split(None, 1)[1] for line in cli("run", "--dry-run").out.splitlines() if line.startswith("  note ")]
    assert "'l1_ratio' is not used in the command; it is only passed in the environment" in notes
    assert "no program 'pyhton' in PATH of this machine" in notes


def test_the_plan_warns_of_another_user_with_the_uid_of_the_image(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {"lab/train:1": {"Config": {"User": "1001"}}}
    host = DockerHost("lab", 8.0, 2**33, "")
    monkeypatch.setattr("orchestune.backends.docker.client.DockerEngine.about", lambda engine: host)
    monkeypatch.setattr("orchestune.backends.docker.client.DockerEngine.image", lambda engine, name: images.get(name))
    monkeypatch.setattr(
        "orchestune.backends.docker.preflight.account_of_image", lambda user, _: "mallory" if user else ""
    )
    words = ("run", "--dry-run", "--cluster", "docker", "--set")
    assert "is the user 'mallory' of this machine" in cli(*words, "image=lab/train:1").out
    assert "mallory" not in cli(*words, "image=lab/not-pulled:1").out


@pytest.mark.parametrize("words", [(), ("--json",), ("--cluster", "docker"), ("--warm-start", "sgd-7f3a")])
def test_a_dry_run_makes_no_state_folder(
    project: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("ORCHESTUNE_HOME", "own/state")
    cli("run", "--dry-run", *words)
    assert not (project / "own").exists()


def test_the_plan_tells_which_files_are_left_to_the_trials(server: FakeServer, cli: Cli, project: Path) -> None:
    lines = cli("run", "--dry-run", "--set", "keep=data/*.bin").out.splitlines()
    assert "  note       hidden from trials, which create their own because of `keep`: data/big.bin" in lines
    assert not [line for line in lines if "linked" in line]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("resources.cpu=5000", "this can never run: a trial needs 5000 cpu"),
        ("resources.memory=900Ti", "this can never run: a trial needs 921600 GiB memory"),
        (
            "resources.gpu=1",
            "this can never run: a trial needs 1 gpu, this machine has 0\nhint:  lower `resources`, or list more GPUs",
        ),
        (
            "engine={name: tpe, startups: 3}",
            "engine.startups: unknown option of the engine 'tpe' (did you mean startup?)",
        ),
    ],
)
def test_a_dry_run_refuses_what_the_server_of_this_machine_would(
    server: FakeServer, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, override: str, message: str
) -> None:
    monkeypatch.delenv("ORCHESTUNE_SERVER")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = cli("run", "--dry-run", "--set", override)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_dry_run_with_a_warm_start_starts_no_server(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTUNE_SERVER", raising=False)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("orchestune.client.local.embedded.connect", None)  # starts a server
    result = cli("run", "--dry-run", "--warm-start", "sgd-7f3a")
    assert (result.code, result.err) == (0, "")
    assert "warm_start: no results of sgd-7f3a: no server is running, and none was started" in result.out


@pytest.mark.parametrize("options", [["--dry-run"], ["--detach"]])
def test_what_a_server_refuses_of_the_file_is_told_with_its_place(
    server: FakeServer, cli: Cli, project: Path, options: list[str]
) -> None:
    (project / "experiment.yml").write_text(EXPERIMENT + "constraints:\n  - alpha > 1\n")
    message = "no configuration found that satisfies `alpha > 1`"
    server.world.refused = BadInput.one(message, key="constraints")
    result = cli("run", *options, "--json")
    (problem,) = json.loads(result.err)["error"]["problems"]
    assert (result.code, problem["line"], problem["column"], problem["key"]) == (
        2,
        EXPERIMENT.count("\n") + 2,
        3,
        "constraints",
    )
    assert message in problem["message"]


def test_a_dry_run_says_what_only_a_server_elsewhere_can_tell(server: FakeServer, cli: Cli, project: Path) -> None:
    result = cli("run", "--dry-run", "--set", "resources.cpu=5000")
    assert result.code == 0
    assert "not checked: only the server knows whether it has room for 5000 cpu" in result.out


def test_an_address_that_is_none_is_an_error_before_anything_is_sent(
    server: FakeServer, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "http://[::1")
    for address in ("https://example.org:99999/x", "env:HOOK"):
        result = cli("run", "--dry-run", "--notify", address)
        assert (result.code, "notify.0.url: invalid URL (expected something like" in result.err) == (2, True)
    (project / "experiment.yml").write_text(EXPERIMENT + "mlflow: http://example.org:abc\n")
    assert "experiment.yml:13:9: mlflow.uri: invalid URL" in cli("run", "--detach").err
    assert server.world.requests == []


def test_a_missing_secret_is_an_error_before_anything_is_sent(
    server: FakeServer, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY")
    result = cli("run", "--detach")
    assert result.code == 2
    line = (project / "experiment.yml").read_text().splitlines().index("secrets: {KEY: env:MY_KEY}") + 1
    assert f"experiment.yml:{line}:16: secrets.KEY: the environment variable MY_KEY is not set" in result.err
    assert server.world.requests == []


def test_a_missing_file_is_wrong_use(server: FakeServer, cli: Cli, project: Path) -> None:
    result = cli("run", "-f", "nothing.yml", "--json")
    assert result.code == 2
    assert json.loads(result.err)["error"]["code"] == "bad_input"


def test_values_of_the_file_are_replaced_on_the_command_line(server: FakeServer, cli: Cli, project: Path) -> None:
    cli("run", "--detach", "--set", "budget=7", "--set", "parameters.alpha=0..1")
    assert server.world.created[0]["specification"]["budget"] == 7
    assert server.world.created[0]["specification"]["parameters"][0]["max"] == 1


def test_mistakes_in_the_file_are_told_with_their_place(server: FakeServer, cli: Cli, project: Path) -> None:
    (project / "experiment.yml").write_text(EXPERIMENT.replace("budget", "bugdet").replace("1e-6..0.1", "1..0.1"))
    result = cli("run")
    assert result.code == 2
    assert "experiment.yml:4:" in result.err
    assert "bugdet" in result.err
    assert server.world.requests == []


def test_the_configuration_of_a_test_is_the_middle_with_what_was_chosen(specification: Specification) -> None:
    assert configuration(specification, []) == {"alpha": 0.0003162, "penalty": "l2"}  # the square root of 1e-7
    chosen = configuration(specification, ["penalty=elasticnet", "l1_ratio=0.25"])
    assert (chosen["penalty"], chosen["l1_ratio"]) == ("elasticnet", 0.25)


def test_a_truth_value_is_chosen_in_any_spelling_and_named_as_files_have_it() -> None:
    text = "run: train {args}\nparameters: {amp: [true, false, auto]}\nmetrics: {loss: minimize}\nbudget: 1\n"
    switch = parse(text, "experiment.yml").specification
    assert [configuration(switch, [f"amp={word}"])["amp"] for word in ("true", "True", "auto")] == [True, True, "auto"]
    with pytest.raises(BadInput, match="'yes' \\(expected one of true, false, auto\\)"):
        configuration(switch, ["amp=yes"])


def test_a_number_is_chosen_in_the_spellings_of_files() -> None:
    text = (
        "run: train {args}\nparameters: {layers: 1..5000, step: 0..1 step 0.1}\nmetrics: {loss: minimize}\nbudget: 1\n"
    )
    numbers = parse(text, "experiment.yml").specification
    chosen = configuration(numbers, ["layers=1e3", "step=0.30000000000000004"])
    assert [repr(value) for value in chosen.values()] == ["1000", "0.3"]
    for wrong in ("layers=1_000", "layers=1.5", "step=nan", "step=0.25"):
        with pytest.raises(BadInput):
            configuration(numbers, [wrong])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("alhpa=1", "did you mean alpha"),
        ("alpha=x", r"'x' \(expected a number\)"),
        ("alpha=7", "out of range"),
        ("penalty=l3", "expected one of l1, l2, elasticnet"),
        ("l1_ratio=0.5", "not active"),
    ],
)
def test_a_value_that_cannot_be_is_refused(specification: Specification, chosen: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        configuration(specification, [chosen])


def test_test_runs_one_configuration_and_shows_what_was_understood(cli: Cli, project: Path, local_server: Home) -> None:
    before = sorted(project.rglob("*"))
    result = cli("test", "-p", "penalty=elasticnet")
    assert result.code == 0, result.err
    assert "penalty   elasticnet" in result.out
    assert "data: something\n" in result.out
    assert "metric   accuracy 0.5" in result.out
    assert sorted(project.rglob("*")) == before


def test_test_understands_every_way_of_reporting_and_hides_secrets(cli: Cli, project: Path, local_server: Home) -> None:
    (project / "model.py").write_text(
        "import json, os, sys, urllib.request\n"
        "print(os.environ['KEY'], sys.argv[1:], os.environ['ORCHESTUNE_PARAM_PENALTY'])\n"
        "print('Accuracy: 0.92 +/- 0.058')\n"
        "urllib.request.urlopen(os.environ['ORCHESTUNE_REPORT_URL'], data=b'by_form=3&step=2')\n"
        "open(os.environ['ORCHESTUNE_METRICS'], 'a').write(json.dumps({'by_file': 1}))\n"
    )
    result = cli("test", "--json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert document["metrics"] == {"accuracy": {"value": 0.92, "stddev": 0.058}}
    assert document["extra"] == {"by_form": 3.0, "by_file": 1.0}
    assert document["missing"] == []
    assert result.err.startswith("*** ['--alpha=0.000316")
    assert "value-of-the-key" not in result.out + result.err


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('eval_accuracy=0.5')", "missing  accuracy; did you mean eval_accuracy"),
        ("pass", "missing  accuracy; print a line such as `accuracy=0.5`"),
        ("print('accuracy: 91.5pct')", "missing  accuracy: `accuracy: 91.5pct` has a unit; print the number alone"),
        (
            "import json; print(json.dumps({'accuracy': '0.5'}))",
            'missing  accuracy: it was reported as the text "0.5", which is not a number; write {"accuracy": 0.5}',
        ),
        ("print('accuracy=nan')", "failed   accuracy is nan"),
        ("import sys; print('accuracy=1'); sys.exit(3)", "failed   exited with code 3"),
        ("import os; os.kill(os.getpid(), 9)", "failed   killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "failed   killed by signal 40"),
    ],
)
def test_test_fails_where_the_trial_would(cli: Cli, project: Path, local_server: Home, code: str, message: str) -> None:
    (project / "model.py").write_text(code)
    result = cli("test")
    assert result.code == 1
    assert message in result.out


def test_test_leaves_no_process_behind(cli: Cli, project: Path, local_server: Home) -> None:
    (project / "model.py").write_text(
        "import subprocess\nchild = subprocess.Popen(['sleep', '1000'])\nprint('accuracy=0.5', flush=True)\n"
        "print('child', child.pid)\n"
    )
    result = cli("test")
    assert result.code == 0
    pid = int(result.out.split("child ")[1].split()[0])
    until(lambda: not alive(pid), "the end of the child")


def test_a_test_over_its_time_and_a_command_that_is_not_there_fail_in_words(
    cli: Cli, project: Path, local_server: Home
) -> None:
    (project / "model.py").write_text("import time\ntime.sleep(1000)\n")
    assert "failed   ran longer than 1s" in cli("test", "--set", "timeout=1s").out
    assert "failed   the command 'nothing-there' was not found" in cli("test", "--set", "run=nothing-there {args}").out
