"""Scripts that are written in other ways than the manuals of their libraries show."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import plain
from orchestune.config.scripts import drafting, reading
from orchestune.config.sources.draft import Draft

ARGPARSE = """\
import argparse, enum, os
class Opt(enum.Enum):
    ADAM = "adam"
    SGD = "sgd"
class Auto(enum.Enum):
    ONE = enum.auto()
DEFAULTS = dict(lr=3e-4)
MORE = {"dropout": 0.1, "layers": 4}
SIZES = [32, 64]
class App:
    def __init__(self):
        self.parser = argparse.ArgumentParser()
        self.sub = self.parser.add_subparsers(dest="cmd", required=True)
        self.fit = self.sub.add_parser("fit")
        score: argparse.ArgumentParser = self.sub.add_parser("score")
        score.add_argument("--threshold", type=float, default=0.5)
        (again := self.sub.add_parser("again")).add_argument("--times", type=int, default=5)
        group = self.fit.add_argument_group("optim")
        group.add_argument("--lr", type=float, default=DEFAULTS["lr"])
        group.add_argument("--opt", choices=[one.value for one in Opt], default=Opt.ADAM.value)
        group.add_argument("--kind", choices=[one.name.lower() for one in Opt], default=Opt.SGD.name)
        group.add_argument("--norm", choices=[n.lower() for n in ("BATCH", "LAYER")], default="batch")
        group.add_argument("--auto", choices=list(Auto))
        add = self.fit.add_argument
        add("--size", type=int, choices=SIZES, default=SIZES[-1])
        add("--dropout", type=float, default=MORE.get("dropout", 0.2))
        self.fit.add_argument("--layers", type=int, default=MORE.get("absent", 4))
        self.fit.add_argument("--width", type=int, default=int(os.environ.get("WIDTH", 64)))
"""
CLICK = """\
import click
def common(f):
    f = click.option("--lr", default=1e-3)(f)
    return click.option("--layers", default=3)(f)
@click.group()
def cli(): ...
@cli.group()
def model(): ...
@model.command("train-it")
@common
@click.option("--dropout", default=0.2)
def train_it(**given): ...
@cli.command()
@click.option("--top", default=5)
def show(top): ...
"""
TYPER = """\
import typer
app, nets, deep = typer.Typer(), typer.Typer(), typer.Typer()
app.add_typer(nets, name="nets")
nets.add_typer(deep, name="deep")
@deep.command()
def fit(lr: float = 0.01): ...
@app.command()
def show(top: int = 3): ...
"""


def draft_of(folder: Path, text: str, *words: str, **answers: str) -> Draft:
    (folder / "train.py").write_text(text)
    script = drafting.with_command(reading.read(folder / "train.py", folder, "python", None), words)
    return drafting.draft(script, folder, answers)


def document(draft: Draft) -> dict[str, Any]:
    plain_document: dict[str, Any] = plain(draft.document)
    return plain_document


def missing(folder: Path, text: str) -> list[str]:
    (folder / "train.py").write_text(text)
    script = drafting.with_command(reading.read(folder / "train.py", folder, "python", None), ())
    return [option.name for option in drafting.missing(script)]


def test_argparse_may_stand_in_attributes_aliases_and_tables(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, ARGPARSE)
    experiment = document(draft)
    assert draft.defaults["size"] == 64
    assert experiment["run"] == "python train.py fit {args}"
    assert experiment["parameters"] == {
        "lr": "3e-6..0.03 log", "opt": ["adam", "sgd"], "kind": ["adam", "sgd"], "norm": ["batch", "layer"],
        "size": [32, 64], "dropout": "0.0..0.5", "layers": "2..8", "width": [16, 32, 64, 128, 256],
    }  # fmt: skip


@pytest.mark.parametrize(("command", "name"), [("score", "threshold"), ("again", "times")])
def test_each_command_has_its_own_options(command: str, name: str, tmp_path: Path) -> None:
    experiment = document(draft_of(tmp_path, ARGPARSE, "python", "train.py", command))
    assert list(experiment["parameters"]) == [name]


BEFORE = """\
import argparse
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float, default=0.1)
p.add_argument("--data", required=True)
subs = p.add_subparsers()
fit = subs.add_parser("fit")
fit.add_argument({option}, type=float, default=0.2)
"""


def test_an_option_before_a_command_is_left_where_those_behind_it_are_varied(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, BEFORE.format(option="'--dropout'"), data="x")
    assert document(draft)["run"] == "python train.py --data=x fit {args}"
    assert list(document(draft)["parameters"]) == ["dropout"]
    assert any("lr: comes before fit" in note and "--lr={lr} fit" in note for note in draft.notes)


def test_an_option_before_a_command_is_varied_where_it_is_alone(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, BEFORE.format(option="'--epochs'"), data="x")
    assert document(draft)["run"] == "python train.py --data=x {args} fit"
    assert list(document(draft)["parameters"]) == ["lr"]


EXCLUSIVE = """\
import argparse
p = argparse.ArgumentParser()
group = p.add_mutually_exclusive_group()
group.add_argument("--cosine", action="store_true")
group.add_argument("--linear", action="store_true")
group.add_argument("--cyclic", action="store_true")
group = p.add_mutually_exclusive_group(required=True)
group.add_argument("--adam", action="store_true")
group.add_argument("--sgd", action="store_true")
group = p.add_mutually_exclusive_group()
group.add_argument("--dropout", type=float, default=0.1)
group.add_argument("--penalty", type=float, default=0.1)
group = p.add_argument_group("more")
group.add_argument("--nesterov", action="store_true")
group.add_argument("--bias", action="store_true")
"""


def test_options_that_exclude_each_other_are_never_given_together(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, EXCLUSIVE)
    assert document(draft)["parameters"] == {
        "cosine": "bool",
        "linear": {"type": "bool", "when": {"cosine": False}},
        "cyclic": {"type": "bool", "when": {"cosine": False, "linear": False}},
        "adam": "bool",
        "sgd": {"values": [True], "when": {"adam": False}},
        "dropout": "0.0..0.5",
        "nesterov": "bool",
        "bias": "bool",
    }
    assert draft.notes == ("penalty: excluded by dropout, so not varied",)


def test_a_condition_names_no_option_that_is_not_varied(tmp_path: Path) -> None:
    text = (
        "import argparse\np = argparse.ArgumentParser()\ngroup = p.add_mutually_exclusive_group()\n"
        "group.add_argument('-C', action='store_true')\ngroup.add_argument('--nesterov', action='store_true')\n"
    )
    draft = draft_of(tmp_path, text)
    assert document(draft)["parameters"] == {"nesterov": "bool"}
    assert draft.notes[0].startswith("C: has no long name")


def test_options_that_a_function_of_another_module_adds_are_found_too(tmp_path: Path) -> None:
    (tmp_path / "opts.py").write_text(
        "DEPTH = 3\ndef model(p):\n    p.add_argument('--depth', type=int, default=DEPTH)\n"
        "def unused(p):\n    p.add_argument('--gone', type=int, default=3)\n"
    )
    text = (
        "import argparse\nfrom opts import model\np = argparse.ArgumentParser()\n"
        "p.add_argument('--lr', type=float, default=0.1)\nmodel(p)\n"
    )
    assert list(document(draft_of(tmp_path, text))["parameters"]) == ["lr", "depth"]


def test_a_short_option_beside_long_ones_is_told(tmp_path: Path) -> None:
    text = (
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
        "p.add_argument('-C', type=float, default=1.0)\n"
    )
    draft = draft_of(tmp_path, text)
    assert list(document(draft)["parameters"]) == ["lr"]
    assert any(note.startswith("C: has no long name") for note in draft.notes)


def test_options_that_no_parameter_can_be_called_like_are_left_out_and_told(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\n" + "".join(
        f"p.add_argument('--{name}', type=float, default=0.1)\n" for name in ("lr", "args", "hydra", "größe")
    )
    draft = draft_of(tmp_path, text)
    assert list(document(draft)["parameters"]) == ["lr"]
    assert draft.notes == ("left out, since these are not valid parameter names: args, hydra, größe",)


def test_click_has_groups_within_groups_and_decorators_that_share_options(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, CLICK, "python", "train.py", "model", "train-it")
    assert document(draft)["run"] == "python train.py model train-it {args}"
    assert list(document(draft)["parameters"]) == ["lr", "layers", "dropout"]


def test_click_shares_options_by_decorators_of_other_modules_by_names_and_in_lists(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(
        "from click import option\n"
        "def common(f):\n    return option('--lr', default=0.01)(option('--depth', default=4)(f))\n"
    )
    text = (
        "import click\nimport shared\nfrom shared import common as usual\nrate = click.option('--rate', default=0.3)\n"
        "more = [click.option('--gain', default=0.1)]\n"
        "def add(options):\n    def inner(f):\n        return f\n    return inner\n"
    )
    command = (
        "@click.command()\n@{}\n@rate\n@add(more)\n@add([click.option('--dropout', default=0.1)])\ndef main(**k): ...\n"
    )
    for decorator in ("usual", "shared.common"):
        experiment = document(draft_of(tmp_path, text + command.format(decorator)))
        assert list(experiment["parameters"]) == ["lr", "depth", "rate", "gain", "dropout"]


def test_typer_has_applications_within_applications(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, TYPER)
    assert document(draft)["run"] == "python train.py nets deep fit {args}"
    assert "(show)" in draft.notes[0]


HYDRA = """\
import hydra
from hydra.core.config_store import ConfigStore
from settings import Config
ConfigStore.instance().store("config", Config)
@hydra.main(None, "config", None)
def main(cfg): ...
"""


def test_a_data_class_of_another_module_is_read_and_its_members_are_written_by_name(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(
        "from dataclasses import dataclass, field\nfrom enum import Enum\n"
        "class Act(Enum):\n    RELU = 'relu'\n    GELU = 'gelu'\n"
        "@dataclass\nclass Optim:\n    lr: float = 1e-3\n"
        "@dataclass\nclass Config:\n    optim: Optim = field(default_factory=Optim)\n    act: Act = Act.GELU\n"
    )
    draft = draft_of(tmp_path, HYDRA)
    assert document(draft)["parameters"] == {"optim.lr": "1e-5..0.1 log", "act": ["RELU", "GELU"]}
    assert draft.defaults["act"] == "GELU"


@pytest.mark.parametrize(
    ("name", "run"),
    [("model/__main__.py", "python -m model {args}"), ("model/fit.py", "python -m model.fit {args}")],
)
def test_what_imports_from_beside_itself_is_run_as_a_part_of_its_package(name: str, run: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/options.py").write_text("def add(p):\n    p.add_argument('--lr', type=float, default=0.1)\n")
    path = tmp_path / name
    path.write_text("import argparse\nfrom .options import add\nadd(argparse.ArgumentParser())\n")
    experiment = document(drafting.draft(reading.read(path, tmp_path, "python", None), tmp_path, {}))
    assert (experiment["run"], list(experiment["parameters"])) == (run, ["lr"])


def test_what_hydra_cannot_do_without_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("lr: 0.1\nroot: ???\n")
    text = "import hydra\n@hydra.main(config_path='.', config_name='config')\ndef main(cfg): ...\n"
    assert missing(tmp_path, text) == ["root"]
    assert document(draft_of(tmp_path, text, root="/data"))["run"] == "python train.py root=/data {hydra}"


def test_a_shell_script_is_run_by_its_own_shell_and_its_variables_are_found_in_every_spelling(tmp_path: Path) -> None:
    text = '#!/usr/bin/env bash\nLR=${LR:-0.01}\n: "${DROPOUT:=0.1}"\n: ${LAYERS=3}\n'
    (tmp_path / "train.sh").write_text(text)
    experiment = document(drafting.draft(reading.read(tmp_path / "train.sh", tmp_path, "python", None), tmp_path, {}))
    assert experiment["run"] == "LR={LR} DROPOUT={DROPOUT} LAYERS={LAYERS} bash train.sh"
    assert list(experiment["parameters"]) == ["LR", "DROPOUT", "LAYERS"]


def test_a_module_is_not_read_again_for_every_name_that_comes_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"name{number}" for number in range(30)]
    (tmp_path / "names.py").write_text("".join(f"{name} = 0.1\n" for name in names))
    read, parsed = list[Path](), reading._parse

    def counted(path: Path) -> ast.Module:
        read.append(path)
        return parsed(path)

    monkeypatch.setattr(reading, "_parse", counted)
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=name7)\n"
    draft = draft_of(tmp_path, f"from names import {', '.join(names)}\n{text}")
    assert document(draft)["parameters"] == {"lr": "0.001..1.0 log"}
    assert len(read) < 10


WORDS = """\
import argparse, ast
def truth(text):
    return text == "True"
def lenient(text):
    return text.lower() in ("true", "1")
p = argparse.ArgumentParser()
p.add_argument("--evaluated", type=eval, choices=[True, False], default=True)
p.add_argument("--undecided", type=ast.literal_eval, choices=[True, False])
p.add_argument("--strict", type=truth, default=False)
p.add_argument("--lambda-like", type=lambda text: text == "True", default=True)
p.add_argument("--lenient", type=lenient, default=True)
p.add_argument("--lr", type=float, default="1e-3")
p.add_argument("--batch-size", type=int, default="64")
p.add_argument("--kind", choices=["a", "b", None], default="a")
p.add_argument("--sizes", choices=[(1, 2), (3, 4)])
p.add_argument("opts", nargs=argparse.REMAINDER)
"""


def test_argparse_may_evaluate_words_convert_defaults_and_take_a_rest(tmp_path: Path) -> None:
    draft = draft_of(tmp_path, WORDS)
    assert document(draft)["run"] == "python train.py {args}"
    python, yaml = ["True", "False"], ["true", "false"]
    assert document(draft)["parameters"] == {
        "evaluated": python, "undecided": python, "strict": python, "lambda-like": python, "lenient": yaml,
        "lr": "1e-5..0.1 log", "batch-size": [16, 32, 64, 128, 256], "kind": ["a", "b"],
    }  # fmt: skip
    assert (draft.defaults["evaluated"], draft.defaults["strict"], draft.defaults["lr"]) == ("True", "False", 0.001)
    assert missing(tmp_path, WORDS) == []


def test_a_class_that_takes_the_place_of_the_one_it_is_made_of_is_read(tmp_path: Path) -> None:
    text = "import argparse\nfrom base import C\nclass C(C):\n    lr = C.lr\np = argparse.ArgumentParser()\n"
    text += "p.add_argument('--lr', type=float, default=C.lr)\n"
    assert document(draft_of(tmp_path, text))["parameters"] == {"lr": "1e-5..0.1 log"}


def test_numbers_without_defaults_are_proposed_with_a_guess_where_nothing_else_is(tmp_path: Path) -> None:
    names = {"rate": "float", "layers": "int", "seed": "int"}
    options = "".join(f"p.add_argument('--{name}', type={kind})\n" for name, kind in names.items())
    text = f"import argparse\np = argparse.ArgumentParser()\n{options}{{}}o = p.parse_args()\n"
    alone = draft_of(tmp_path, text.format(""))
    assert plain(alone.document)["parameters"] == {"rate": "0.0..1.0", "layers": "1..10"}
    assert alone.remarks["parameters.rate"] == "a guess, since it has no default"
    assert [aside[0] for aside in alone.asides] == ["seed: …"]
    beside = draft_of(tmp_path, text.format("p.add_argument('--lr', type=float, default=0.1)\n"))
    assert plain(beside.document)["parameters"] == {"lr": "0.001..1.0 log"}
