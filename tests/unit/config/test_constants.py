"""The key `constants`: literals of a script that are parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.constants import Unparsable, of_python, of_r
from orchestune.config.experiment_file import Loaded, parse, without_file
from orchestune.config.sections.template import relocated
from orchestune.config.sources.description import DescribedOption, Description, Goal
from orchestune.errors import BadInput

SCRIPT = """\
import math
LR = 1e-3  # rate
BATCH, layers = 64, -3
penalty: str = "l2"
bias = True
params = {"depth": 5, "tree": dict(eta=0.3)}
text = '''a
b'''
computed = 2 * 8
_hidden = 1

class Config:
    dropout = 0.5
    width: int = 32

if __name__ == "__main__":
    seed = 7
"""
CONSTANTS = {
    "LR": 1e-3, "BATCH": 64, "layers": -3, "penalty": "l2", "bias": True, "params.depth": 5, "params.tree.eta": 0.3,
    "Config.dropout": 0.5, "Config.width": 32, "seed": 7,
}  # fmt: skip
R_SCRIPT = """\
lr <- 0.1   # rate
batch = 64L
penalty <- "l2"; bias <- TRUE
use.bias <- TRUE
fit(lr = lr,
  batch = batch)
"""


def experiment(folder: Path, parameters: str, **keys: str) -> Loaded:
    text = "".join(f"{key}: {value}\n" for key, value in {"run": "python train.py", **keys}.items())
    return parse(
        f"{text}parameters: {parameters}\nmetrics: {{loss: minimize}}\nbudget: 3\n", "experiment.yml",
        path=folder / "experiment.yml",
    )  # fmt: skip


def problems(folder: Path, parameters: str, **keys: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        experiment(folder, parameters, **keys)
    return [str(problem) for problem in caught.value.problems]


def test_constants_are_literals_that_are_assigned_at_the_top_level() -> None:
    constants = of_python(SCRIPT)
    assert {name: constant.value for name, constant in constants.items()} == CONSTANTS
    rows = SCRIPT.split("\n")
    texts = {name: rows[one.line - 1][one.start : one.end] for name, one in constants.items()}
    assert texts["LR"] == "1e-3" and texts["layers"] == "-3" and texts["penalty"] == '"l2"'


@pytest.mark.parametrize(
    "change",
    [
        "x = x + 1", "x += 1", "for x in range(3): pass", "def f():\n    global x\n    x = 1", "del x",
        "if True:\n    x = 2", "def x(): pass", "with open('a') as x: pass",
    ],
)  # fmt: skip
def test_a_name_that_is_assigned_again_is_no_constant(change: str) -> None:
    assert of_python(f"x = 1\n{change}\n") == {}


@pytest.mark.parametrize("change", ["def f():\n    x = 2", "y = [x for x in range(3)]", "f(x=2)", "y.x = 2"])
def test_a_name_of_another_scope_is_another_one(change: str) -> None:
    assert list(of_python(f"x = 1\n{change}\n")) == ["x"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ('p["lr"] = 2', ["p.n"]), ("p[key] = 2", []), ("p.update(lr=2)", []), ("p = read()", []),
        ("p2 = p", ["p.lr", "p.n"]),
    ],
)  # fmt: skip
def test_an_entry_that_is_changed_is_no_constant(change: str, names: list[str]) -> None:
    assert list(of_python(f'p = {{"lr": 0.1, "n": 3}}\n{change}\n')) == names


@pytest.mark.parametrize("change", ["C.lr = 2", "c = C(lr=2)"])
def test_an_attribute_that_is_changed_is_no_constant(change: str) -> None:
    assert list(of_python(f"class C:\n    lr = 0.1\n    n = 3\n{change}\n")) == ["C.n"]


def test_positions_count_characters_not_bytes() -> None:
    [constant] = of_python('äö = {"ß": 0.25}\n').values()
    assert (constant.start, constant.end) == (11, 15)


def test_what_is_not_python_says_where() -> None:
    with pytest.raises(Unparsable, match=r"line 2"):
        of_python("x = 1\ny = = 2\n")


def test_constants_of_r() -> None:
    constants = of_r(R_SCRIPT)
    assert {name: one.value for name, one in constants.items()} == {"lr": 0.1, "batch": 64, "use.bias": True}
    assert R_SCRIPT.split("\n")[1][constants["batch"].start : constants["batch"].end] == "64L"


@pytest.mark.parametrize("change", ["lr <- lr / 2", "  lr <<- 1", "2 -> lr", "  lr = f(1)", "for (lr in 1:3) f()"])
def test_a_name_of_r_that_is_assigned_again_is_no_constant(change: str) -> None:
    assert of_r(f"lr <- 0.1\n{change}\n") == {}


def test_a_specification_has_the_lines_split_at_the_values(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1  # rate\r\nbatch, n = 64, 3\r\n")
    loaded = experiment(tmp_path, "{lr: 0.0..1.0, n: 1..3, batch: [32, 64]}", constants="./train.py")
    template = loaded.specification.constants
    assert template is not None and template.path == "train.py"
    assert template.lines == (
        (1, ("lr = ", ("lr", "0.1"), "  # rate")),
        (2, ("batch, n = ", ("batch", "64"), ", ", ("n", "3"), "")),
    )
    assert template.from_json(template.to_json()) == template
    assert loaded.notes == ()


def test_a_parameter_without_constant_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\n")
    [problem] = problems(tmp_path, "{lr: 0.0..1.0}", constants="train.py")
    assert "train.py has no constant 'lr' (expected a literal assigned once at the top level)" in problem
    assert "did you mean LR?" in problem
    loaded = experiment(tmp_path, "{LR: 0..1, x: 0..1}", constants="train.py", run="python train.py {x}")
    assert loaded.specification.constants is not None


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.py", "cannot read"), ("train.jl", "supported extensions: .py, .r"), ("../train.py", "relative path"),
        ("broken.py", "cannot parse broken.py: line 1"), ("link.py", "link.py is a link"),
    ],
)  # fmt: skip
def test_a_script_that_cannot_be_used_is_an_error(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    (tmp_path / "broken.py").write_text("lr = = 0.1\n")
    (tmp_path / "link.py").symlink_to("train.py")
    assert message in " ".join(problems(tmp_path, "{lr: 0.0..1.0}", constants=path))


def test_lines_are_located_again_in_changed_code(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    template = experiment(tmp_path, "{lr: 0.0..1.0}", constants="train.py").specification.constants
    assert template is not None
    (tmp_path / "train.py").write_text("import os\nlr = 0.2\n")
    assert relocated(template, tmp_path).lines == ((2, ("lr = ", ("lr", "0.2"), "")),)
    (tmp_path / "train.py").write_text("rate = 0.2\n")
    assert relocated(template, tmp_path) == template


def described(folder: Path, *spaces: str, command: str = "python train.py") -> Loaded:
    settings = (DescribedOption("--budget", "budget", "4"),)
    goals = (Goal("--minimize", "loss", "minimize"),)
    return without_file(Description(spaces, goals, tuple(command.split()), settings), folder)


@pytest.mark.parametrize(
    "command", ["python train.py", "python -u train.py", "python -m train", "./train.py --epochs 3"]
)
def test_a_command_without_placeholders_sets_the_constants_of_its_script(command: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    loaded = described(tmp_path, "lr=0.01..1.0", command=command)
    assert loaded.specification.constants is not None
    assert loaded.specification.constants.path == "train.py"
    assert not loaded.notes


@pytest.mark.parametrize("command", ["python train.py {lr}", "python train.py {args}", "sh -c ls", "python other.py"])
def test_no_constants_are_set_that_the_command_does_not_need(command: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    (tmp_path / "other.py").write_text("import orchestune\nlr = 0.1\n")
    assert described(tmp_path, "lr=0.01..1.0", command=command).specification.constants is None


def test_names_that_are_almost_those_of_constants_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LEARNING_RATE = 0.1\n")
    with pytest.raises(BadInput, match="did you mean LEARNING_RATE"):
        described(tmp_path, "learning_rate=0.01..1.0")
    notes = described(tmp_path, "depth=1..3").notes
    assert notes[0] == "train.py has the constants LEARNING_RATE: name parameters like these to replace them"


def test_without_parameters_the_constants_are_proposed(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("LR = 0.1\nBATCH = 64\nBIAS = True\nEPOCHS = 3\nNAME = 'x'\n")
    with pytest.raises(BadInput) as caught:
        described(tmp_path)
    arguments = "LR=0.001..1.0:log BATCH=16,32,64,128,256 BIAS=true,false"
    assert [problem.hint for problem in caught.value.problems] == [f"for example constants of train.py: {arguments}"]
    assert described(tmp_path, *arguments.split()).specification.constants is not None


def test_a_document_of_an_older_version_has_no_constants(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    document: dict[str, Any] = experiment(tmp_path, "{lr: 0..1}", constants="train.py").specification.to_json()
    del document["constants"]
    assert type(experiment(tmp_path, "{lr: 0..1}").specification).from_json(document).constants is None
