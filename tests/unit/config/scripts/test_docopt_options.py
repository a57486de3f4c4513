"""Scripts that docopt reads the words of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from orchestune.config.document.nodes import plain
from orchestune.config.scripts import drafting, reading
from orchestune.config.scripts.option import Option, Script

TEXT = '''"""Train.

Usage:
  train.py -h | --help
  train.py [options] [(--adam | --sgd)] <data>
  train.py --version

Options:
  -h --help            Show this.
  --version            Show that.
  --lr=<rate>          How fast
                       [default: 0.01].
  -b N, --batch-size N  How many at a time [default: 64]
  --kind=<word>        What [default: small]
  --width WIDTH        How wide
  --nesterov           Whether to look ahead
  -m M                 Momentum [default: 0.9]
"""
from docopt import docopt

print(docopt(__doc__, version="1"))
'''
COMMANDS = '''import docopt

TEXT = """Usage: prog [-v] train --out=<dir> [--lr=RATE] FILE...
       prog (score|show) <run> [--top=<n>]

  --lr=RATE  rate [default: 1e-3]
"""


def main():
    return docopt.docopt(TEXT)
'''


def script(folder: Path, text: str) -> Script:
    (folder / "train.py").write_text(text)
    reading_of_script = reading.read(folder / "train.py", folder, "python").script
    assert reading_of_script is not None
    return reading_of_script


def test_options_are_those_of_the_text(tmp_path: Path) -> None:
    options = script(tmp_path, TEXT)
    assert (options.reader, options.argument_template, dict(options.commands)) == ("docopt", "{args}", {})
    assert options.options == (
        Option("adam", "bool", False, rivals="11"),
        Option("sgd", "bool", False, rivals="11"),
        Option("lr", "float", 0.01, about="How fast"),
        Option("batch-size", "int", 64, about="How many at a time"),
        Option("kind", "text", "small", about="What"),
        Option("width", "other", about="How wide"),
        Option("nesterov", "bool", False, about="Whether to look ahead"),
        Option("m", "float", 0.9, about="Momentum", argument_template="-m {m}"),
        Option("data", "text", required=True, argument_template="{data}"),
    )


def test_each_command_has_its_own_and_what_is_needed_is_asked_for(tmp_path: Path) -> None:
    options = script(tmp_path, COMMANDS)
    assert {name: [option.name for option in options] for name, options in options.commands.items()} == {
        "train": ["v", "out", "lr", "FILE"],
        "score": ["top", "run"],
    }
    chosen = drafting.with_command(reading.read(tmp_path / "train.py", tmp_path, "python"), ())
    assert [option.name for option in drafting.missing(chosen)] == ["out", "FILE"]
    experiment: Any = plain(drafting.draft(chosen, tmp_path, {"out": "there", "FILE": "a.csv"}).document)
    assert experiment["run"] == "python train.py train --out=there a.csv {args}"
    assert list(experiment["parameters"]) == ["lr"]


def test_a_text_that_is_not_known_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import docopt\ndocopt.docopt(open('usage').read())\n")
    assert reading.read(tmp_path / "train.py", tmp_path, "python").script is None
