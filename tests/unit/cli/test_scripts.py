"""What is known of a script before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.cli.scripts import asks, withheld

SHELL = {"DATA_DIR": "/data", "API_KEY": "x", "PWD": "/here", "HOME": "/home/ada"}


def said(tmp_path: Path, name: str, text: str, run: str) -> list[str]:
    (tmp_path / name).write_text(text)
    return withheld(run, tmp_path, SHELL, {"HOME"})


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
    [note] = said(tmp_path, name, text, run)
    assert note.startswith(f"trials do not get {names} of this shell")


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
    assert said(tmp_path, name, text, run) == []


def test_a_script_that_asks_for_its_parameters_is_known(tmp_path: Path) -> None:
    (tmp_path / "sdk.py").write_text("import orchestune\n")
    (tmp_path / "env.sh").write_text('echo "$ORCHESTUNE_PARAM_LR"\n')
    (tmp_path / "args.py").write_text("import argparse\n")
    assert asks("python sdk.py", tmp_path)
    assert asks(["sh", "env.sh"], tmp_path)
    assert not asks("python args.py", tmp_path)
    assert not asks("./none", tmp_path)
