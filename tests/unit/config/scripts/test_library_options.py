"""Programs in JavaScript, Perl and Go, and Makefiles: their options, and how they are started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import plain
from orchestune.config.scripts import drafting, reading
from orchestune.config.sources.draft import Draft

PARSE_ARGS = """\
import { parseArgs } from 'node:util';
const { values } = parseArgs({
  options: {
    lr: { type: 'string', short: 'l', default: '0.01' },
    'batch-size': { type: "string", default: "64" },
    opt: { type: 'string', default: 'adam' },
    bias: { type: 'boolean', default: true },
    mixup: { type: 'boolean' },
  },
});
"""
COMMANDER = """\
const { program } = require('commander');
program
  .option('-l, --lr <number>', 'how fast, (or slow)', parseFloat, 0.01)
  .option('--layers <n>', 'how many', '3')
  .option('--opt <name>', 'which', 'adam')
  .option('--out <folder>', 'where')
  .option('--mixup', 'with mixtures');
"""
YARGS = """\
const argv = require('yargs/yargs')(process.argv.slice(2))
  .option('lr', { alias: 'l', type: 'number', default: 0.01, describe: 'how fast' })
  .options({ opt: { choices: ['adam', "sgd"], default: 'adam' }, bias: { type: 'boolean', default: true } }).argv;
"""
PERL = """\
use Getopt::Long qw(GetOptions :config no_ignore_case);
my $lr = 0.01; my ($layers, $opt) = (3, 'adam');
my %given = (width => 64, 'dropout' => 0.1);
GetOptions('lr|l=f' => \\$lr, "layers=i" => \\$layers, 'opt=s' => \\$opt, 'width=i' => \\$given{width},
           'momentum=f' => \\(my $momentum = 0.9), 'mixup!' => \\my $mixup, 'v+' => \\my $v) or die "usage";
GetOptions(\\%given, 'dropout=f');
"""
GO = """\
package main
import "flag"
func main() {
	var layers int
	lr := flag.Float64("lr", 0.01, "how fast")
	flag.IntVar(&layers, "layers", 3, "how many")
	opt, mixup := flag.String("opt", "adam", "which"), flag.Bool("mixup", false, "")
	flag.Parse()
}
"""


def draft(folder: Path, name: str, text: str) -> Draft:
    (folder / name).write_text(text)
    return drafting.draft(drafting.with_command(reading.read(folder / name, folder, "python"), ()), folder, {})


@pytest.mark.parametrize(
    ("name", "text", "run", "parameters"),
    [
        ("train.mjs", PARSE_ARGS, "node train.mjs {args}",
         {"lr": "0.0001..1.0 log", "batch-size": [16, 32, 64, 128, 256], "mixup": "bool"}),
        ("train.mjs", PARSE_ARGS.replace("parseArgs({", "parseArgs({ allowNegative: true,"), "node train.mjs {args}",
         {"lr": "0.0001..1.0 log", "batch-size": [16, 32, 64, 128, 256], "no-bias": "bool", "mixup": "bool"}),
        ("train.js", COMMANDER, "node train.js {args}", {"lr": "0.0001..1.0 log", "layers": "1..6", "mixup": "bool"}),
        ("train.cjs", YARGS, "node train.cjs {args}",
         {"lr": "0.0001..1.0 log", "opt": ["adam", "sgd"], "no-bias": "bool"}),
        ("train.pl", PERL, "perl train.pl {args}",
         {"lr": "0.0001..1.0 log", "layers": "1..6", "width": [16, 32, 64, 128, 256], "momentum": "0.5..0.99",
          "mixup": "bool", "dropout": "0.0..0.5"}),
        ("train.go", GO, "go run train.go {args}",
         {"lr": "0.0001..1.0 log", "layers": "1..6", "mixup": ["true", "false"]}),
    ],
    ids=["parseArgs", "parseArgs that takes --no-bias", "commander", "yargs", "Getopt::Long", "flag"],
)  # fmt: skip
def test_the_calls_of_a_library_tell_the_options(
    name: str, text: str, run: str, parameters: dict[str, Any], tmp_path: Path
) -> None:
    experiment = plain(draft(tmp_path, name, text).document)
    assert (experiment["run"], experiment["parameters"]) == (run, parameters)


def test_a_makefile_is_made_with_its_variables(tmp_path: Path) -> None:
    text = "LR ?= 0.01  # how fast\nLAYERS::=3\nDATA = $(HOME)/data\n.PHONY: train\ndata: fetch.sh\n\tsh fetch.sh\n"
    text += "train: data\n\tpython train.py $(LR) $(LAYERS)\n"
    draft_of_makefile = draft(tmp_path, "Makefile", text)
    assert plain(draft_of_makefile.document)["run"] == "make train {hydra}"
    assert plain(draft_of_makefile.document)["parameters"] == {"LR": "0.0001..1.0 log", "LAYERS": "1..6"}
    assert draft_of_makefile.notes == (
        "its command train is used; for another (data), end with -- and the whole command",
    )
    assert plain(draft(tmp_path, "search.mk", text).document)["run"] == "make -f search.mk train {hydra}"
