"""`run` and `test` without a file, and the file that stands for the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.testbeds.home import Home
from tests.unit.cli.conftest import Result
from tests.unit.client.fake_server import FakeServer

Cli = Callable[..., Result]
WORDS = ("--minimize", "val/loss", "optim.lr=1e-5..1e-1:log", "--budget", "9", "layers=2..8", "opt=adam,sgd")
TRAIN = ("--", "python3", "train.py", "{args}")
SCRIPT = """\
import sys
print("words:", *sys.argv[1:])
print("val/loss: 0.25")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    monkeypatch.chdir(folder)
    return folder


def test_run_needs_no_file(server: FakeServer, cli: Cli, project: Path) -> None:
    assert cli("run", *WORDS, "--detach", *TRAIN).code == 0
    sent = server.world.created[0]["specification"]
    assert (sent["name"], sent["run"], sent["budget"]) == ("project", "python3 train.py {args}", 9)
    assert [parameter["name"] for parameter in sent["parameters"]] == ["optim.lr", "layers", "opt"]
    assert not (project / "experiment.yml").exists()


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("python3 -u trian.py {args}", "no such file in this folder: 'trian.py' (did you mean train.py?)"),
        ("sh run.sh {args}", "no such file in this folder: 'run.sh'"),
        ("python3 train.py {args}", None),
        ("python3 -m trian {args}", None),
        ("python3 -c print(1) x.py", None),
        ("./trian.py {args}", "no such file in this folder: './trian.py' (did you mean train.py?)"),
        ("python3 /opt/trian.py {args}", None),
    ],
)
def test_a_script_that_is_not_there_is_noted_before_it_costs_a_trial(
    command: str, note: str | None, server: FakeServer, cli: Cli, project: Path
) -> None:
    output = cli("run", *WORDS, "--dry-run", "--", *command.split()).out
    assert output.count("no such file ") == (note is not None)
    assert note is None or note in output


def test_the_saved_file_starts_the_same_experiment(server: FakeServer, cli: Cli, project: Path) -> None:
    assert cli("run", *WORDS, "--detach", "--save", "experiment.yml", *TRAIN).code == 0
    assert cli("run", "--detach").code == 0
    one, other = server.world.created
    assert one["specification"] == other["specification"]
    assert one["folder"] == other["folder"]


def test_saving_replaces_a_file_with_force_alone(cli: Cli, project: Path) -> None:
    assert cli("run", *WORDS, "--dry-run", "--save", "experiment.yml", *TRAIN).code == 0
    before = (project / "experiment.yml").read_text()
    refused = cli("run", *WORDS, "--seed", "5", "--dry-run", "--save", "experiment.yml", *TRAIN)
    assert refused.code == 2
    assert "'experiment.yml' already exists" in refused.err
    assert "--force" in refused.err
    assert (project / "experiment.yml").read_text() == before
    assert cli("run", *WORDS, "--seed", "5", "--dry-run", "--save", "experiment.yml", "--force", *TRAIN).code == 0
    assert "seed: 5" in (project / "experiment.yml").read_text()


def test_a_file_is_not_saved_beside_other_code(cli: Cli, project: Path) -> None:
    refused = cli("run", *WORDS, "--dry-run", "--save", "../experiment.yml", *TRAIN)
    assert refused.code == 2
    assert "is outside the folder of the code" in refused.err
    assert not (project.parent / "experiment.yml").exists()


def test_one_configuration_needs_no_budget(cli: Cli, project: Path, local_server: Home) -> None:
    result = cli("test", "--minimize", "val/loss", "lr=1e-5..1e-1:log", "--json", *TRAIN)
    assert result.code == 0
    assert "words: --lr=0.001" in result.err
    assert json.loads(result.out)["metrics"]["val/loss"]["value"] == 0.25


def test_options_of_the_command_are_the_commands(cli: Cli, project: Path, local_server: Home) -> None:
    result = cli("test", "--minimize", "val/loss", "lr=1..2", "--", "python3", "train.py", "--json", "--", "a=b")
    assert result.code == 0
    assert "words: --json -- a=b" in result.out


def test_a_file_that_is_there_is_not_mixed_in_unless_it_is_named(cli: Cli, project: Path) -> None:
    assert cli("run", *WORDS, "--dry-run", "--save", "experiment.yml", *TRAIN).code == 0
    alone = cli("run", "--maximize", "x", "a=1..2", "--budget", "2", "--dry-run", *TRAIN)
    assert "'experiment.yml' is ignored" in alone.out
    assert "optim.lr" not in alone.out
    lacking = cli("run", "a=1..2", "--dry-run")
    assert lacking.code == 2
    assert "add `-f experiment.yml` to use it for the rest" in lacking.err
    mixed = cli("run", "-f", "experiment.yml", "a=1..2", "--dry-run")
    assert "optim.lr" in mixed.out
    changed = cli("run", "--budget", "3", "--dry-run", "--json", "--", "./other", "{args}")
    sent = json.loads(changed.out)["specification"]
    assert (sent["budget"], sent["run"], len(sent["parameters"])) == (3, "./other {args}", 3)


@pytest.mark.parametrize(
    ("option", "key"), [("--budget", "budget"), ("--parallel", "parallelism"), ("--cpu", "resources.cpu")]
)
def test_what_an_option_and_set_say_both_is_refused(cli: Cli, project: Path, option: str, key: str) -> None:
    result = cli("run", *WORDS, option, "3", "--set", f"{key}=4", "--dry-run", *TRAIN)
    assert result.code == 2
    assert f"{option} and --set {key} set the same value\n" in result.err


def test_a_misspelt_option_is_told_from_a_known_one(cli: Cli, project: Path) -> None:
    assert "did you mean --minimize?" in cli("run", "--minimise", "loss", *TRAIN).err


def test_a_command_where_none_belongs_is_refused(cli: Cli) -> None:
    assert cli("status", "--", "python", "train.py").code == 2


def test_a_project_of_orchestrate_runs_by_its_own_file(server: FakeServer, cli: Cli, project: Path) -> None:
    (project / "orchestrate.yml").write_text(
        "name: old\nrun: python3 train.py\noptimization:\n  metrics: [{name: accuracy}]\n  observation_budget: 6\n"
        "  parameters: [{name: lr, type: double, bounds: {min: 0, max: 1}}]\n"
    )
    done = cli("run", "--detach", "--budget", "4")
    assert done.code == 0, done.err
    sent = server.world.created[0]["specification"]
    assert (sent["name"], sent["run"], sent["budget"]) == ("old", "python3 train.py", 4)
