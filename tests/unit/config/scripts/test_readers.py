"""Options of scripts, whichever library reads them: the experiment file of each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestune.config.document import save
from orchestune.config.document.compose import compose
from orchestune.config.document.nodes import Entries, plain
from orchestune.config.document.report import ProblemReport
from orchestune.config.experiment_file import drafted as drafted_file
from orchestune.config.scripts import drafting, reading
from orchestune.config.scripts.option import Option, Script
from orchestune.config.scripts.reading import ScriptInvocation
from orchestune.config.sources.description import Description, Goal
from orchestune.config.sources.draft import Draft
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput, UsageError

ARGPARSE = """\
import argparse
BATCH = 2 ** 6
MODELS = {"resnet": 1, "vgg": 2}

def flag(text):
    return text == "true"

def to_bool(text):
    return text == "true"

p = argparse.ArgumentParser()
group = p.add_argument_group("model")
p.add_argument("-l", "--lr", type=float, default=1e-3, help="learning rate (default: %(default)s)")
p.add_argument("--batch-size", type=int, default=BATCH)
p.add_argument("--weight_decay", type=float, default=0.0)
group.add_argument("--layers", type=int, default=3)
group.add_argument("--model", choices=list(MODELS), default="resnet")
p.add_argument("--bias", action="store_true")
p.add_argument("--nesterov", action=argparse.BooleanOptionalAction, default=True)
p.add_argument("--ema", type=to_bool, default=True)
p.add_argument("--depth", type=int, choices=range(1, 9), default=2)
p.add_argument("--epochs", type=int, default=10)
p.add_argument("--seed", type=int, default=0)
p.add_argument("--data", default="./data")
p.add_argument("--sizes", type=int, nargs="+")
p.add_argument("--broken", type=bool, default=False)
"""
CLICK = """\
import click

@click.command()
@click.option("--lr", default=0.01)
@click.option("--opt", type=click.Choice(["adam", "sgd"]), default="adam")
@click.option("--width", type=click.IntRange(8, 100), default=64)
@click.option("--bias/--plain", default=True)
@click.option("--mix", is_flag=True)
@click.option("--tags", multiple=True)
def train(**options): ...
"""
TYPER = """\
from enum import Enum
from typing import Annotated, Literal, Optional
import typer

class Opt(str, Enum):
    adam = "adam"
    sgd = "sgd"

app = typer.Typer()

@app.command()
def main(
    lr: float = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="L2", max=0.005)] = 1e-4,
    opt: Opt = Opt.adam,
    nesterov: bool = True,
    hidden: int = typer.Option(128, "--hidden-size"),
    act: Literal["relu", "gelu"] = "relu",
    heads: Optional[int] = None,
): ...
"""
EXPECTED: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "argparse": (ARGPARSE, {
        "lr": "1e-5..0.1 log", "batch-size": [16, 32, 64, 128, 256], "weight_decay": [0.0, 1e-5, 1e-4, 1e-3, 0.01],
        "layers": "1..6", "model": ["resnet", "vgg"],
        "bias": "bool", "no-nesterov": "bool", "ema": ["true", "false"], "depth": "1..8",
    }),
    "click": (CLICK, {"lr": "0.0001..1.0 log", "opt": ["adam", "sgd"], "width": [16, 32, 64], "plain": "bool",
                      "mix": "bool"}),
    "typer": (TYPER, {"lr": "1e-5..0.1 log", "weight-decay": "1e-6..0.005 log", "opt": ["adam", "sgd"],
                      "no-nesterov": "bool", "hidden-size": [32, 64, 128, 256, 512], "act": ["relu", "gelu"]}),
}  # fmt: skip


def draft_source(
    folder: Path, text: str, *words: str, name: str = "train.py", config: str | None = None
) -> ScriptInvocation:
    (folder / name).write_text(text)
    return drafting.with_command(reading.read(folder / name, folder, "python", config), words)


def drafted(folder: Path, text: str, *words: str, name: str = "train.py", config: str | None = None,
            values: Mapping[str, str] | None = None, named: bool = False) -> Draft:  # fmt: skip
    return drafting.draft(
        draft_source(folder, text, *words, name=name, config=config), folder, values or {}, named=named
    )


def document(draft: Draft) -> dict[str, Any]:
    plain_document: dict[str, Any] = plain(draft.document)
    return plain_document


@pytest.mark.parametrize("reader", EXPECTED)
def test_a_script_becomes_ranges_around_its_defaults(reader: str, tmp_path: Path) -> None:
    text, parameters = EXPECTED[reader]
    script = draft_source(tmp_path, text)
    experiment = document(drafting.draft(script, tmp_path, {}))
    assert script.script is not None
    assert script.script.reader == reader
    assert experiment["parameters"] == parameters
    assert experiment["run"] == "python train.py {args}"


def test_what_is_no_question_of_search_stands_aside(tmp_path: Path) -> None:
    asides = [line for line, _ in drafted(tmp_path, ARGPARSE).asides]
    assert asides == ["epochs: 5..20", "seed: 0..10", "data: ['./data']", "sizes: …", "broken: [false]"]


def test_a_range_tells_the_default_and_the_help(tmp_path: Path) -> None:
    remarks = drafted(tmp_path, ARGPARSE).remarks
    assert remarks["parameters.lr"] == "default 0.001: learning rate"
    assert remarks["parameters.layers"] == "default 3"


def loaded(draft: Draft, *spaces: str) -> Specification:
    described = Description(spaces, (Goal("--minimize", "loss", "minimize"),))
    return drafted_file(draft, described, Path("experiment.yml")).specification


def test_the_first_configuration_is_the_scripts_own(tmp_path: Path) -> None:
    first = loaded(drafted(tmp_path, CLICK)).try_first
    assert first == ({"lr": 0.01, "opt": "adam", "width": 64, "plain": False, "mix": False},)


@pytest.mark.parametrize("spaces", [("width=512,1024",), ("more=1..2",)])
def test_what_is_no_configuration_of_the_space_is_not_tried_first(spaces: tuple[str, ...], tmp_path: Path) -> None:
    assert loaded(drafted(tmp_path, CLICK), *spaces).try_first == ()


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(default=TEXTS, about=TEXTS, other=TEXTS)
def test_whatever_a_script_says_the_file_can_be_read(default: str, about: str, other: str) -> None:
    options = (
        Option("lr", "float", 0.01, about=about),
        Option("opt", "text", default, (default, other), about=about),
        Option("path", "text", default, about=about),
        Option("seed", "int", 1, about=other),
    )
    draft = drafting.draft(ScriptInvocation(("python", "train.py"), Script("argparse", options)), Path(), {})
    text = save.text(draft.document, "x", draft.remarks, draft.asides)
    report = ProblemReport()
    entries = compose(text, "experiment.yml", report)
    assert isinstance(entries, Entries)
    assert report.problems == []
    assert plain(entries) == document(draft)


def test_a_name_with_braces_stands_for_itself(tmp_path: Path) -> None:
    assert document(drafted(tmp_path, ARGPARSE, name="{x} y.py"))["run"] == "python '{{x}} y.py' {args}"


COMMANDS = """\
import argparse
subs = argparse.ArgumentParser().add_subparsers()
fit = subs.add_parser("fit")
fit.add_argument("--lr", type=float, default=0.01)
score = subs.add_parser("score")
score.add_argument("--threshold", type=float, default=0.5)
"""


def test_of_several_commands_the_likeliest_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    draft = drafted(tmp_path, COMMANDS)
    assert document(draft)["run"] == "python train.py fit {args}"
    assert list(document(draft)["parameters"]) == ["lr"]
    assert "(score)" in draft.notes[0]


def test_the_command_that_the_user_names_is_taken(tmp_path: Path) -> None:
    draft = drafted(tmp_path, COMMANDS, "python", "train.py", "score", "{args}")
    assert list(document(draft)["parameters"]) == ["threshold"]
    assert draft.notes == ()


REQUIRED = """\
import argparse
p = argparse.ArgumentParser()
p.add_argument("data")
p.add_argument("--target", required=True)
p.add_argument("--lr", type=float, default=0.01)
"""


def test_what_the_script_cannot_do_without_is_told_and_put_into_the_command(tmp_path: Path) -> None:
    script = draft_source(tmp_path, REQUIRED)
    assert [option.name for option in drafting.missing(script)] == ["data", "target"]
    draft = drafting.draft(script, tmp_path, {"data": "my data.csv", "target": "y{1}"})
    experiment = document(draft)
    assert draft.asides == ()
    assert experiment["run"] == "python train.py 'my data.csv' --target='y{{1}}' {args}"


def test_short_options_stand_one_by_one(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('-l', type=float, default=0.1)\n"
    assert document(drafted(tmp_path, text))["run"] == "python train.py -l {l}"


def test_options_may_stand_in_a_module_that_the_script_imports(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "options.py").write_text(ARGPARSE)
    script = draft_source(tmp_path, "import os\nfrom lib.options import p\nprint(p.parse_args())\n")
    assert script.module == "lib/options.py"
    assert script.script is not None
    assert len(script.script.options) == 14


def test_nothing_of_the_script_runs(tmp_path: Path) -> None:
    drafted(tmp_path, ARGPARSE + "\nopen('was-run', 'w').close()\nraise SystemExit(1)\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.py"]


def test_a_script_of_a_size_that_nobody_writes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="maximum 1,048,576 characters"):
        drafted(tmp_path, ARGPARSE + "x = 1\n" * 200_000)


def test_a_mistake_in_the_script_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        drafted(tmp_path, "def broken(:\n")
    assert f"{tmp_path}/train.py:1:12: not valid Python" in str(error.value)


def test_a_script_outside_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(ARGPARSE)
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="is outside"):
        reading.read(tmp_path / "train.py", tmp_path / "other", "python")


CONFIG = """\
seed: 1
optim: {name: adam, lr: 1e-3}   # kept
model:
  layers: 3
  dropout: 0.1
  root: ${data}
"""


def test_a_configuration_that_is_named_is_varied_at_its_paths(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text(CONFIG)
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--cfg')\n"
    experiment = document(drafted(tmp_path, text, config="base.yml"))
    assert experiment["config"] == "base.yml"
    assert experiment["run"] == "python train.py --cfg={config}"
    assert experiment["parameters"] == {
        "optim.lr": "1e-5..0.1 log",
        "model.layers": "1..6",
        "model.dropout": "0.0..0.5",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nope.yml", None, "nope.yml: No such file or directory"),
        ("base.ini", b"lr = 1", "base.ini (supported extensions"),
        ("base.yml", b"a: [1", "base.yml:1:6: not valid YAML"),
        ("base.yml", b"\xff\xfe", "base.yml: 'utf-8' codec"),
        ("base.json", b'{"lr": 1', "base.json: Expecting"),
        ("base.toml", b"lr =", "base.toml: Invalid value"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_told(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        draft_source(tmp_path, "import argparse\n", config=name)
    assert message in str(error.value)


def test_what_a_script_needs_beside_its_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text(CONFIG)
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('data')\n"
    text += "p.add_argument('--cfg', required=True)\n"
    script = draft_source(tmp_path, text, config="base.yml")
    assert [option.name for option in drafting.missing(script)] == ["data"]
    experiment = document(drafting.draft(script, tmp_path, {"data": "x.csv"}))
    assert experiment["run"] == "python train.py x.csv --cfg={config}"


def test_a_configuration_that_the_script_reads_by_default_is_found(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"optim": {"lr": 0.01}, "list": [1, 2]}')
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('config', nargs='?', default='base.json')\n"
    experiment = document(drafted(tmp_path, text))
    assert (experiment["config"], experiment["run"]) == ("base.json", "python train.py {config}")
    assert experiment["parameters"] == {"optim.lr": "0.0001..1.0 log"}


HYDRA = """\
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg): ...
"""


def hydra(folder: Path, sgd: str) -> Draft:
    (folder / "conf" / "optim").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text(
        "defaults:\n  - _self_\n  - optim: adam\n" + CONFIG.replace("optim", "o")
    )
    adam = sgd.replace("0.1", "0.001").replace("sgd", "adam").replace("momentum: 0.9\n", "")
    (folder / "conf" / "optim" / "adam.yaml").write_text(adam)
    (folder / "conf" / "optim" / "sgd.yaml").write_text(sgd)
    return drafted(folder, HYDRA)


def test_hydra_is_read_with_what_its_defaults_choose(tmp_path: Path) -> None:
    experiment = document(hydra(tmp_path, "name: sgd\nlr: 0.1\n"))
    assert experiment["run"] == "python train.py {hydra}"
    assert experiment["parameters"] == {
        "optim": ["adam", "sgd"],
        "optim.lr": "1e-5..0.1 log",
        "o.lr": "1e-5..0.1 log",
        "model.layers": "1..6",
        "model.dropout": "0.0..0.5",
    }


def test_a_choice_of_hydra_that_decides_nothing_stands_aside(tmp_path: Path) -> None:
    draft = hydra(tmp_path, "lr: 0.1\n")
    parameters = document(draft)["parameters"]
    assert "optim" not in parameters
    assert parameters["optim.lr"] == "1e-5..0.1 log"
    [remark] = [remark for aside, remark in draft.asides if aside == "optim: ['adam', 'sgd']"]
    assert "no effect while all values of its files are varied" in remark


def test_a_choice_of_hydra_between_files_with_other_values_stands_aside(tmp_path: Path) -> None:
    draft = hydra(tmp_path, "lr: 0.1\nmomentum: 0.9\n")
    assert "optim" not in document(draft)["parameters"]
    assert draft.asides[0][0] == "optim: ['adam', 'sgd']"


@pytest.mark.parametrize(
    ("chosen", "first", "names"),
    [
        ("/optim: adam", "", ["optim", "optim.lr"]),
        ("optim@model.optim: adam", "", ["model.optim.lr"]),
        ("optim@_global_: adam", "# @package other\n", ["lr"]),
        ("optim: adam", "# @package model.solver\n", ["optim", "model.solver.lr"]),
        ("optim: adam", "# @package _global_.x\n".replace("_global_.x", "_group_"), ["optim", "optim.lr"]),
    ],
)
def test_values_of_hydra_stand_where_the_defaults_and_the_file_put_them(
    chosen: str, first: str, names: list[str], tmp_path: Path
) -> None:
    (tmp_path / "conf" / "optim").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text(f"defaults:\n  - _self_\n  - {chosen}\n")
    for name, rate in (("adam", 0.001), ("sgd", 0.1)):
        (tmp_path / "conf" / "optim" / f"{name}.yaml").write_text(f"{first}kind: {name}\nlr: {rate}\n")
    assert list(document(drafted(tmp_path, HYDRA))["parameters"]) == names


def test_a_configuration_of_hydra_may_be_a_data_class(tmp_path: Path) -> None:
    text = (
        "import hydra\nfrom dataclasses import dataclass\nfrom hydra.core.config_store import ConfigStore\n"
        "@dataclass\nclass Config:\n    lr: float = 0.01\n    amplify: bool = True\n"
        "ConfigStore.instance().store(name='config', node=Config)\n"
        "@hydra.main(version_base=None, config_name='config')\ndef main(cfg): ...\n"
    )
    assert document(drafted(tmp_path, text))["parameters"] == {"lr": "0.0001..1.0 log", "amplify": "bool"}


def test_omegaconf_is_read_where_words_of_the_command_go_over_it(tmp_path: Path) -> None:
    (tmp_path / "base.yml").write_text(CONFIG)
    text = "from omegaconf import OmegaConf\nc = OmegaConf.merge(OmegaConf.load('base.yml'), OmegaConf.from_cli())\n"
    experiment = document(drafted(tmp_path, text))
    assert experiment["run"] == "python train.py {hydra}"
    assert list(experiment["parameters"]) == ["optim.lr", "model.layers", "model.dropout"]


def test_a_script_of_r_is_read_by_its_look(tmp_path: Path) -> None:
    text = """
    option_list = list(
      make_option(c("-l", "--lr"), type="double", default=0.01, help="rate"),
      make_option(c("--depth"), type="integer", default=4),
      make_option(c("--out"), default="results"))
    """
    experiment = document(drafted(tmp_path, text, name="train.R"))
    assert experiment["run"] == "Rscript train.R {args}"
    assert experiment["parameters"] == {"lr": "0.0001..1.0 log", "depth": "2..8"}


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("train.R", 'make_option("--depth", type="integer", default=4L)', {"depth": "2..8"}),
        ("train.jl", '"--depth"\n help = "levels (default: 9)"\n default = 4', {"depth": "2..8"}),
        ("train.jl", '"--lr"\n arg_type = Float32\n default = 1f-2', {"lr": "0.0001..1.0 log"}),
        ("train.jl", '"--width"\n default = 1_000', {"width": "250..4000 log"}),
        ("train.R", 'add_argument(p, "--depth", help="levels", default="4")', {"depth": "2..8"}),
    ],
)
def test_defaults_are_read_as_their_languages_write_them(
    name: str, line: str, expected: dict[str, str], tmp_path: Path
) -> None:
    assert document(drafted(tmp_path, line, name=name))["parameters"] == expected


def test_variables_of_a_shell_script_are_set_before_it(tmp_path: Path) -> None:
    experiment = document(drafted(tmp_path, "LR=${LR:-0.01}\nDATA=${DATA:-here}\n./train $LR\n", name="train.sh"))
    assert experiment["run"] == "LR={LR} sh train.sh"
    assert experiment["parameters"] == {"LR": "0.0001..1.0 log"}


@pytest.mark.parametrize("data", ["\0\1binary", "int main() { return 0; }"])
def test_no_parameter_is_invented_for_a_program_without_options(data: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        drafted(tmp_path, data, name="model")
    assert str(refused.value) == "./model: no options, constants or settings found that can be varied"
    assert "orchestune init ./model lr=1e-4..0.1:log -- COMMAND --rate {lr}" in (refused.value.hint or "")
    assert document(drafted(tmp_path, data, name="model", named=True))["run"] == "./model {args}"


def test_options_that_no_one_searches_are_named_with_a_range_to_copy(tmp_path: Path) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--epochs', type=int, default=4)\n"
    with pytest.raises(UsageError) as refused:
        drafted(tmp_path, text)
    assert str(refused.value) == "no option of train.py looks like a hyperparameter: epochs"
    assert refused.value.hint == "name the ones to vary: orchestune init train.py epochs=2..8"


def test_a_configuration_file_that_a_script_names_has_its_values(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    (tmp_path / "net.yaml").write_text("lr: 0.1\n")
    (tmp_path / "broken.json").write_text("{")
    script.write_text("open('absent.yaml'); open('../up.toml'); open('broken.json'); open('net.yaml')")
    invocation = reading.read(script, tmp_path, "python")
    assert invocation.script is not None
    assert (invocation.script.config, invocation.script.argument_template) == ("net.yaml", "")
    assert [option.name for option in invocation.script.options] == ["lr"]
    script.write_text("open('absent.yaml')")
    assert reading.read(script, tmp_path, "python").script is None
