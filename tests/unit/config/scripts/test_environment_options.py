"""Scripts of Python that read variables of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.reading import read


def script(folder: Path, text: str) -> Script | None:
    path = folder / "train.py"
    path.write_text(text)
    return read(path, folder, "python").script


def test_numbers_of_the_environment_are_options_with_their_defaults(tmp_path: Path) -> None:
    text = """\
import os
from os import environ, getenv
lr = float(os.environ.get("LR", "0.01"))
layers = int(getenv("LAYERS", 3))
decay = float(environ["WEIGHT_DECAY"])
momentum = float(os.environ.get(key="MOMENTUM", default="1"))
optimizer = os.environ.setdefault("OPTIMIZER", "adam")
name = os.environ["NAME"]
os.environ["EPOCHS"] = "3"
"""
    options = script(tmp_path, text)
    assert options is not None and (options.reader, options.argument_template) == ("the environment", "")
    assert options.options == (
        Option("LR", "float", 0.01),
        Option("LAYERS", "int", 3),
        Option("WEIGHT_DECAY", "float"),
        Option("MOMENTUM", "float", 1),
        Option("OPTIMIZER", "text", "adam"),
    )


@pytest.mark.parametrize(
    "text",
    [
        'import os\nrank = int(os.environ.get("LOCAL_RANK", "0"))\nport = int(os.getenv("MASTER_PORT", "29500"))\n',
        'import os\nfolder = os.environ.get("OUT", "results")\n',
        'import os\nos.environ["OMP_NUM_THREADS"] = "1"\n',
        'lr = float({"LR": "0.01"}.get("LR", "0.1"))\n',
    ],
)
def test_what_says_where_a_script_runs_is_no_option(tmp_path: Path, text: str) -> None:
    assert script(tmp_path, text) is None


def test_options_of_the_command_line_go_first(tmp_path: Path) -> None:
    text = """\
import argparse, os
workers = int(os.environ.get("WORKERS", "4"))
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
"""
    options = script(tmp_path, text)
    assert options is not None and [option.name for option in options.options] == ["lr"]
