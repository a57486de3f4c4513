"""Options of scripts from the parsers that they build."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestune.cli.develop import probe_parser
from orchestune.cli.develop.probe_parser import ParserProbe
from orchestune.config.scripts import drafting, reading
from orchestune.config.scripts.option import Option
from orchestune.config.scripts.proposing import propose
from orchestune.config.scripts.reading import ScriptInvocation

STYLES = Path(__file__).parents[1] / "config/scripts/styles.txt"
SECTIONS = {
    section.partition(" ")[0]: section.partition(" ")[2]
    for section in STYLES.read_text().split("=== ")[1:]
    if not section.startswith("hf_")  # transformers takes too long to install; it passed by hand
}


def read(folder: Path, text: str, *words: str) -> ScriptInvocation:
    (folder / "train.py").write_text(text)
    probe = ParserProbe(folder, sys.executable, os.environ, folder.parent / f"{folder.name}-cache")
    return drafting.with_command(reading.read(folder / "train.py", folder, sys.executable, None, probe), words)


def searched(invocation: ScriptInvocation) -> dict[str, Any]:
    """Return the options worth a search: a default, "switch", or a default and choices."""
    assert invocation.script is not None
    return {option.name: _form(option) for option in invocation.script.options if propose(option).vary}


def _form(option: Option) -> Any:
    if option.kind == "bool":
        return "switch"
    return [option.default, list(option.choices)] if option.choices else option.default


@pytest.mark.parametrize("style", SECTIONS)
def test_options_are_read_as_the_program_has_them(style: str, tmp_path: Path) -> None:
    truth, _, text = SECTIONS[style].partition("\n")
    assert searched(read(tmp_path, text)) == json.loads(truth)


EXCLUSIVE = """\
import argparse
p = argparse.ArgumentParser()
group = p.add_mutually_exclusive_group(required=True)
for name in ("cosine", "linear"):
    group.add_argument(f"--{name}", action="store_true")
p.add_argument("data")
p.add_argument("--target", required=True)
p.add_argument("--size", type=int, nargs="+", default=[3])
p.add_argument("-l", type=float, default=0.1)
p.add_argument("--secret-option", type=int, default=3, help=argparse.SUPPRESS)
p.parse_args()
"""
ABSL = """\
from absl import app, flags
import enum
class Opt(enum.Enum):
    ADAM = 1
    SGD = 2
flags.DEFINE_enum_class("opt", Opt.SGD, Opt, "which")
flags.DEFINE_string("data", None, "where", required=True)
app.run(print)
"""
JSONARGPARSE = """\
import jsonargparse
class Model:
    def __init__(self, dropout: float = 0.2, norm: bool = True): ...
    def fit(self, momentum: float = 0.9): ...
jsonargparse.CLI(Model)
"""
MODEL = {"dropout": 0.2, "norm": ["true", ["true", "false"]], "momentum": 0.9}
TAPIFY = """\
import tap
def train(smoothing: float = 0.2): ...
tap.tapify(train)
"""


def test_groups_positions_and_requirements_of_argparse(tmp_path: Path) -> None:
    invocation = read(tmp_path, EXCLUSIVE)
    assert invocation.script is not None
    options = {option.name: option for option in invocation.script.options}
    assert list(options) == ["cosine", "linear", "data", "target", "size", "l"]
    assert options["cosine"].rivals == options["linear"].rivals == "!0"
    assert [option.name for option in drafting.missing(invocation)] == ["data", "target"]
    assert options["data"].argument_template == "{data}"
    assert options["l"].argument_template == "-l {l}"
    assert options["size"].kind == "other"


@pytest.mark.parametrize(
    ("text", "expected", "words"),
    [
        (ABSL, {"opt": ["sgd", ["adam", "sgd"]]}, ()), (JSONARGPARSE, MODEL, ("fit",)),
        (TAPIFY, {"smoothing": 0.2}, ()),
    ],
)  # fmt: skip
def test_further_styles(text: str, expected: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    invocation = read(tmp_path, text)
    assert searched(invocation) == expected
    assert invocation.script is not None
    assert invocation.script.words == words


PARSER = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default={default})\n"
COMPUTED = PARSER.format(default="round(0.123456, 2)")


def test_the_script_runs_in_a_copy_and_only_up_to_its_parser(tmp_path: Path) -> None:
    after = tmp_path.parent / "after"
    text = f"open('before', 'w').close()\n{COMPUTED}p.parse_args()\nopen({str(after)!r}, 'w').close()\n"
    assert searched(read(tmp_path, text)) == {"lr": 0.12}
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]
    assert not after.exists()


@pytest.mark.parametrize("arguments", ["[]", "['--lr', '0.3']"])
def test_a_script_that_passes_arguments_itself_does_not_start_its_main_part(arguments: str, tmp_path: Path) -> None:
    after = tmp_path.parent / "after"
    read(tmp_path, f"{COMPUTED}p.parse_args({arguments})\nopen({str(after)!r}, 'w').close()\n")
    assert not after.exists()


def test_what_is_read_is_kept_until_the_code_changes(tmp_path: Path) -> None:
    count = tmp_path.parent / "count"
    start = f"open({str(count)!r}, 'a').write('x')\n"
    for _ in range(2):
        assert searched(read(tmp_path, f"{start}{COMPUTED}p.parse_args()\n")) == {"lr": 0.12}
    assert count.read_text() == "x"
    (tmp_path / "helper.py").write_text("x = 1\n")
    read(tmp_path, f"{start}{COMPUTED}p.parse_args()\n")
    assert count.read_text() == "xx"


@pytest.mark.parametrize(
    "start", ["import no_such_module\n", "raise SystemExit(3)\n", "import os; os._exit(0)\n", "1 / 0\n"]
)
def test_a_script_that_fails_is_read_from_its_source(start: str, tmp_path: Path) -> None:
    assert searched(read(tmp_path, f"{PARSER.format(default=0.1)}{start}p.parse_args()\n")) == {"lr": 0.1}


def test_a_script_that_hangs_is_read_from_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_parser, "_TIMEOUT_SECONDS", 0.5)
    text = f"import time\n{PARSER.format(default=0.1)}time.sleep(600)\np.parse_args()\n"
    assert searched(read(tmp_path, text)) == {"lr": 0.1}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.py", "lr = 0.1\n{}"), ("train.py", "import os\nlr = float(os.environ.get('LR', '0.1'))\n{}"),
        ("train.py", "import optparse\nlr = 0.1\n{}"), ("train.py", "import argparse, hydra\n{}"),
        ("train.sh", "LR=${{LR:-0.1}}\ntouch {}\n"),
    ],
)  # fmt: skip
def test_a_program_without_a_known_parser_is_never_started(name: str, text: str, tmp_path: Path) -> None:
    marker = tmp_path.parent / "started"
    statement = f"{marker}" if name.endswith(".sh") else f"open({str(marker)!r}, 'w').close()\n"
    (tmp_path / name).write_text(text.format(statement))
    probe = ParserProbe(tmp_path, sys.executable, os.environ, tmp_path.parent / "cache")
    reading.read(tmp_path / name, tmp_path, sys.executable, None, probe)
    assert not marker.exists()


def test_a_module_of_a_package_is_run_as_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/options.py").write_text(
        f"def build():\n    {COMPUTED.replace(chr(10), chr(10) + '    ')}return p\n"
    )
    path = tmp_path / "model/fit.py"
    path.write_text("from .options import build\nbuild().parse_args()\n")
    probe = ParserProbe(tmp_path, sys.executable, os.environ, tmp_path.parent / "cache")
    invocation = reading.read(path, tmp_path, "python", None, probe)
    assert invocation.command == ("python", "-m", "model.fit")
    assert searched(invocation) == {"lr": 0.12}
