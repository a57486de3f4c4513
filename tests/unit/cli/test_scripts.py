"""Knowledge about a script before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.cli.experiments import destination
from orchestune.cli.experiments.check_script import (
    missing_program,
    missing_script,
    reads_parameters,
    unpassed_variables,
    unused_parameters,
)
from orchestune.cli.experiments.prepare import listed
from orchestune.client.address import ServerAccess, ServerPlace
from orchestune.client.clusters import BUILT_IN
from orchestune.config.experiment_file import load

SHELL = {"DATA_DIR": "/data", "API_KEY": "x", "PWD": "/here", "HOME": "/home/ada"}


def notes_on(tmp_path: Path, name: str, text: str, run: str) -> list[str]:
    (tmp_path / name).write_text(text)
    return unpassed_variables(run, tmp_path, SHELL, {"HOME"})


@pytest.mark.parametrize(
    ("name", "text", "run", "names"),
    [
        ("a.py", "import os\nos.environ['DATA_DIR']", "python a.py {args}", "DATA_DIR"),
        ("a.py", 'os.environ.get("DATA_DIR", ""); os.getenv( "API_KEY")', "python3 -u a.py", "DATA_DIR, API_KEY"),
        ("a.js", "load(process.env.DATA_DIR)", "node a.js {args}", "DATA_DIR"),
        ("a.R", "Sys.getenv('DATA_DIR')", "Rscript a.R {args}", "DATA_DIR"),
        ("a.sh", 'ls "${DATA_DIR:-/x}" "$HOME"', "sh a.sh", "DATA_DIR"),
        ("a.py", "", "python a.py --data $DATA_DIR {args}", "DATA_DIR"),
        ("a.py", "os.environ['DATA_DIR']", "python a.py {args} 2>&1 | tee log", "DATA_DIR"),
    ],
)
def test_variables_of_the_shell_that_a_trial_would_miss_are_told(
    tmp_path: Path, name: str, text: str, run: str, names: str
) -> None:
    [note] = notes_on(tmp_path, name, text, run)
    assert note.startswith(f"the command reads {names} of this shell")


@pytest.mark.parametrize(
    ("name", "text", "run"),
    [
        ("a.py", "os.environ['DATA_DIR'] = '/elsewhere'", "python a.py {args}"),
        ("a.py", "os.environ['UNSET']", "python a.py {args}"),
        ("a.sh", "DATA_DIR=/mine; ls $DATA_DIR $PWD $HOME", "sh a.sh"),
        ("a.py", "", "DATA_DIR=/mine; python a.py $DATA_DIR {args}"),
        ("a.py", "", "./a.out {args}"),
    ],
)
def test_what_is_set_or_known_is_not_missed(tmp_path: Path, name: str, text: str, run: str) -> None:
    assert notes_on(tmp_path, name, text, run) == []


@pytest.mark.parametrize("run", ["python ../train.py {args}", "python sub/../../train.py {args}", "../train.py {args}"])
def test_a_script_above_the_folder_is_told_not_to_come_along(tmp_path: Path, run: str) -> None:
    (tmp_path / "train.py").write_text("")
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (note,) = missing_script(run, tmp_path / "here")
    assert note.startswith(f"outside the project in {tmp_path / 'here'}, so trials do not have it: ")
    assert missing_script(run, tmp_path / "here", tmp_path) == [] or run.startswith("../")  # that one is not executable


def test_a_script_that_asks_for_its_parameters_is_known(tmp_path: Path) -> None:
    (tmp_path / "sdk.py").write_text("import orchestune\n")
    (tmp_path / "env.sh").write_text('echo "$ORCHESTUNE_PARAM_LR"\n')
    (tmp_path / "args.py").write_text("import argparse\n")
    assert reads_parameters("python sdk.py", tmp_path)
    assert reads_parameters(["sh", "env.sh"], tmp_path)
    assert not reads_parameters("python args.py", tmp_path)
    assert not reads_parameters("./none", tmp_path)


@pytest.mark.parametrize(
    ("run", "note"),
    [
        (
            "./train.sh {args}",
            "'./train.sh' is not executable: run `chmod +x ./train.sh`, or put its interpreter before it",
        ),
        (["./trian.sh", "{args}"], "no such file in this folder: './trian.sh' (did you mean train.sh?)"),
        ("./able.sh {args}", ""),
        ("sh train.sh {args}", ""),
        ("/usr/bin/nothing {args}", ""),
        ("cd sub && ./made.sh {args}", ""),
        ("{program} --x", ""),
    ],
)
def test_a_program_of_the_folder_that_cannot_be_started_is_told(
    tmp_path: Path, run: str | list[str], note: str
) -> None:
    (tmp_path / "train.sh").write_text("exit 0")
    (tmp_path / "able.sh").write_text("exit 0")
    (tmp_path / "able.sh").chmod(0o755)
    assert missing_script(run, tmp_path) == ([note] if note else [])


@pytest.mark.parametrize(
    ("run", "note"),
    [
        ("pyhton train.py {args}", "no program 'pyhton' in PATH of this machine"),
        (["/opt/none/tool", "{args}"], "no such program on this machine: '/opt/none/tool'"),
        ("tool {args}", ""),
        ("./here {args}", ""),
        ("solver {args}", "no program 'solver' in PATH of this machine (the one in this folder is './solver')"),
        ("pyhton train.py {args} > log", ""),
    ],
)
def test_a_program_that_this_machine_does_not_have_is_told(tmp_path: Path, run: str | list[str], note: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "tool").write_text("#!/bin/sh")
    (programs / "tool").chmod(0o755)
    (tmp_path / "solver").touch()
    assert missing_program(run, tmp_path, str(programs)) == ([note] if note else [])


@pytest.mark.parametrize(
    ("run", "note"),
    [
        ("./t --lr {lr}", "'momentum', 'decay' are not used in the command; they are only passed in the environment"),
        (["./t", "{lr}", "{decay}"], "'momentum' is not used in the command; it is only passed in the environment"),
        ("./t {lr} {args}", ""),
        ("./t {lr} {config}", ""),
        ("./t", ""),
        ("./t {lr} $ORCHESTUNE_PARAM_MOMENTUM", ""),
        ("python reads.py {lr}", ""),
        ("./t {lr} {momentum} {decay}", ""),
    ],
)
def test_parameters_that_the_command_leaves_out_are_told(tmp_path: Path, run: str | list[str], note: str) -> None:
    (tmp_path / "reads.py").write_text("import orchestune")
    assert unused_parameters(run, ["lr", "momentum", "decay"], tmp_path) == ([note] if note else [])


@pytest.mark.parametrize(
    ("run", "is_noted"),
    [
        ("python 'my trian.py' {args}", True),
        (["python", "-u", "my trian.py", "{args}"], True),
        ("python 'my train.py' {args}", False),
        (["bash", "-c", "run my trian.py"], False),
    ],
)
def test_a_script_with_a_space_in_its_name_is_looked_for_too(
    tmp_path: Path, run: str | list[str], is_noted: bool
) -> None:
    (tmp_path / "my train.py").write_text("")
    note = "no such file in this folder: 'my trian.py' (did you mean my train.py?)"
    assert missing_script(run, tmp_path) == ([note] if is_noted else [])


@pytest.mark.parametrize(
    ("cluster", "names"), [("local", ""), ("docker", "MY_DATA_DIR, CUDA_HOME"), ("slurm", "MY_DATA_DIR")]
)
def test_the_plan_names_the_variables_that_the_script_reads_and_will_not_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: str, names: str
) -> None:
    monkeypatch.setenv("MY_DATA_DIR", "/data")
    monkeypatch.setenv("CUDA_HOME", "/cuda")
    (tmp_path / "a.sh").write_text("ls $MY_DATA_DIR $CUDA_HOME $HOME")
    (tmp_path / "experiment.yml").write_text(
        "run: sh a.sh {x}\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 2\n"
    )
    loaded = load(tmp_path / "experiment.yml")
    prepared = listed(loaded.specification, loaded.project.path, loaded.code)
    place = ServerPlace(next(item for item in BUILT_IN if item.name == cluster), refuse)
    notes = [note for note in destination.notes(place, prepared) if note.startswith("the command reads")]
    expected = f"the command reads {names} of this shell, which trials do not get"
    assert [note.partition(":")[0] for note in notes] == ([expected] if names else [])


def refuse() -> ServerAccess:
    raise AssertionError("the plan needs no server")
