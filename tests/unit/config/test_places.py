"""Positions of values in files of users, and the copy of a file for a trial."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestune.config.document.value_spans import Unreadable, of_json, of_toml, of_yaml
from orchestune.config.experiment_file import parse
from orchestune.domain.specification.experiment import Specification
from orchestune.errors import BadInput
from orchestune.worker.files.config_copy import fill, spell

YAML_FILE = """\
# how we train
optim: &optim
  lr: 1e-3        # keep me
  "name": 'adam'
layers: [64, 32]
base: &size !!int 5
again: *size
empty:
items:
  - {a: 1, b: two words}
text: |
  lr: 5
last:
"""
TOML_FILE = """\
title = "x" # comment
[optim]
lr = 1e-3   # keep
name = 'adam'
sub.deep = true
"quoted key" = 1_000
[other.table]
when = 1979-05-27
text = \"\"\"
lr = 3
\"\"\"
list = [1, 2]
inline = {a = 1}
[[tables]]
lr = 4
"""
JSON_FILE = (
    '{\n\t"optim": {"lr": 0.001, "name": "a\\"dam"},\n\t"layers": [64, {"x": null}], "empty": {}, "none": []\n}\n'
)


def texts_at(text: str, spans: dict[str, tuple[int, int]]) -> dict[str, str]:
    return {name: text[start:end] for name, (start, end) in spans.items()}


def test_yaml() -> None:
    assert texts_at(YAML_FILE, of_yaml(YAML_FILE)) == {
        "optim.lr": "1e-3",
        "optim.name": "'adam'",
        "layers.0": "64",
        "layers.1": "32",
        "base": "5",
        "again": "*size",
        "empty": "",
        "items.0.a": "1",
        "items.0.b": "two words",
        "text": "|\n  lr: 5",
        "last": "",
    }


def test_toml() -> None:
    assert texts_at(TOML_FILE, of_toml(TOML_FILE)) == {
        "title": '"x"',
        "optim.lr": "1e-3",
        "optim.name": "'adam'",
        "optim.sub.deep": "true",
        "optim.quoted key": "1_000",
        "other.table.when": "1979-05-27",
        "other.table.text": '"""\nlr = 3\n"""',
        "other.table.list.0": "1",
        "other.table.list.1": "2",
        "other.table.inline.a": "1",
        "tables.0.lr": "4",
    }


TOML_LISTS = """\
# lr = 1 is no value
at = 1979-05-27 07:32:00  # with space
odd = nan
[[layers]]
size = 32
[layers.norm]
eps = 1e-5
[[layers]]
size = 64 # "quoted
betas = [
  0.9,  # first, with a comma
  0.999,
]
grid = [[1, 2], ["a, b", 'c]'], { deep.x = 3 }]
long = [\"\"\"
size = 5\"\"\", 7]
'quoted.key' = {}
[[ "layers" . deep ]]
last = true
"""


def test_lists_and_braces_of_toml() -> None:
    assert texts_at(TOML_LISTS, of_toml(TOML_LISTS)) == {
        "at": "1979-05-27 07:32:00",
        "odd": "nan",
        "layers.0.size": "32",
        "layers.0.norm.eps": "1e-5",
        "layers.1.size": "64",
        "layers.1.betas.0": "0.9",
        "layers.1.betas.1": "0.999",
        "layers.1.grid.0.0": "1",
        "layers.1.grid.0.1": "2",
        "layers.1.grid.1.0": '"a, b"',
        "layers.1.grid.1.1": "'c]'",
        "layers.1.grid.2.deep.x": "3",
        "layers.1.long.0": '"""\nsize = 5"""',
        "layers.1.long.1": "7",
        "layers.1.deep.0.last": "true",
    }


@pytest.mark.parametrize("key", ['"a\\"b"', '"\\u0061"', '"a=b"', "''", '"#"'])
def test_keys_of_toml_may_be_anything(key: str) -> None:
    text = f"{key} = 1\nlr = 2\n"
    assert texts_at(text, of_toml(text))["lr"] == "2"


def test_a_long_list_of_toml_takes_no_longer_than_reading_it() -> None:
    text = f"lr = 1\nnumbers = [{', '.join(map(str, range(20_000)))}]\n"
    assert len(of_toml(text)) == 20_001


def test_what_a_mapping_of_yaml_is_merged_from_is_no_value_of_it() -> None:
    text = "base: &base\n  lr: 1\noptim:\n  <<: *base\n  beta: 2\n"
    assert texts_at(text, of_yaml(text)) == {"base.lr": "1", "optim.beta": "2"}


def test_keys_of_yaml_without_a_colon_have_no_value() -> None:
    text = "flow: {lr: , beta}\nset:\n  ? lr\n  ? beta\nlast: 1\n"
    assert texts_at(text, of_yaml(text)) == {"flow.lr": "", "last": "1"}


def test_json_with_tabs() -> None:
    assert texts_at(JSON_FILE, of_json(JSON_FILE)) == {
        "optim.lr": "0.001",
        "optim.name": '"a\\"dam"',
        "layers.0": "64",
        "layers.1.x": "null",
    }


@pytest.mark.parametrize(("reader", "text"), [(of_yaml, "a: [1"), (of_json, '{"a": }'), (of_toml, "a = ")])
def test_a_file_that_is_not_what_it_is_called_is_refused(reader: Any, text: str) -> None:
    with pytest.raises(Unreadable):
        reader(text)


def specification(folder: Path, name: str, text: str, parameters: str, run: str = "./train {config}") -> Specification:
    (folder / name).write_text(text)
    file = f"run: {run}\nconfig: {name}\nparameters: {parameters}\nmetrics: {{loss: minimize}}\nbudget: 3\n"
    return parse(file, "experiment.yml", path=folder / "experiment.yml").specification


VALUES = {"optim.lr": 1e-05, "optim.name": 'x: "y" # z', "layers.0": 7}
SPACE = "{optim.lr: 1e-6..1, optim.name: [a, b], layers.0: 1..9}"


def copy(settings: Specification, values: dict[str, Any]) -> str:
    assert settings.config
    again = Specification.from_json(json.loads(json.dumps(settings.to_json())))
    assert again.config == settings.config
    return fill(settings.config.to_json()["parts"], values).decode()


def test_a_copy_of_yaml_differs_in_the_values_alone(tmp_path: Path) -> None:
    text = copy(specification(tmp_path, "base.yml", YAML_FILE, SPACE), VALUES)
    expected = YAML_FILE.replace("1e-3", "1.0e-05").replace("'adam'", '"x: \\"y\\" # z"').replace("64", "7")
    assert text == expected
    for version in ("1.1", "1.2"):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert yaml.load(text)["optim"] == {"lr": 1e-05, "name": 'x: "y" # z'}


def test_a_copy_of_json(tmp_path: Path) -> None:
    document = json.loads(copy(specification(tmp_path, "base.json", JSON_FILE, SPACE), VALUES))
    assert (document["optim"], document["layers"][0]) == ({"lr": 1e-05, "name": 'x: "y" # z'}, 7)


def test_a_copy_of_toml(tmp_path: Path) -> None:
    space = "{optim.lr: 1e-6..1, optim.name: [a, b], optim.sub.deep: bool}"
    text = copy(specification(tmp_path, "base.toml", TOML_FILE, space), {**VALUES, "optim.sub.deep": False})
    assert tomllib.loads(text)["optim"] == {
        "lr": 1e-05, "name": 'x: "y" # z', "sub": {"deep": False}, "quoted key": 1000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.yml", "prompt: |  # the first\n  say\n\n  it\n# then\nlr: 2\n"),
        ("c.yml", "prompt: >-\n   say\n   it"),
        ("c.toml", 'prompt = """\nsay it\n"""  # the first\nlr = 2\n'),
    ],
)
def test_a_text_of_several_lines_is_one_value(name: str, text: str, tmp_path: Path) -> None:
    settings = specification(tmp_path, name, text, "{prompt: [short, 'long, one']}")
    read = tomllib.loads if name == "c.toml" else YAML(typ="safe", pure=True).load
    assert read(copy(settings, {"prompt": "long, one"})) == {**read(text), "prompt": "long, one"}
    assert copy(settings, {}) == text


def test_where_a_parameter_is_inactive_the_files_own_value_stays(tmp_path: Path) -> None:
    space = "{optim.name: [a, b], optim.lr: {min: 0.1, max: 1.0, when: {optim.name: a}}}"
    assert "  lr: 1e-3 " in copy(specification(tmp_path, "base.yml", YAML_FILE, space), {"optim.name": "b"})


def test_a_key_without_a_value_gets_one_behind_it(tmp_path: Path) -> None:
    text = copy(specification(tmp_path, "base.yml", YAML_FILE, "{empty: 1..3, last: 1..3}"), {"empty": 1, "last": 2})
    assert "empty: 1\nitems" in text
    assert text.endswith("last: 2\n")


@pytest.mark.parametrize(
    ("name", "space", "run", "message"),
    [
        ("base.yml", "{lr: 0.1..1}", "x {config}", "base.yml has no value at lr (did you mean optim.lr?)"),
        ("base.yml", "{optim.lrr: 0.1..1}", "x {config}", "has no value at optim.lrr (did you mean optim.lr?)"),
        (
            "base.yml",
            "{layers: 1..2}",
            "x {config}",
            "has several values at layers (name one of them: layers.0, layers.1)",
        ),
        (
            "base.ini",
            "{a: 1..2}",
            "x {config}",
            "unsupported file type: base.ini (supported extensions: .yml, .yaml, .json, .toml)",
        ),
        ("base.toml", "{a: 1..2}", "x {config}", "cannot parse base.toml: "),
    ],
)
def test_mistakes_name_the_file_and_what_was_meant(
    tmp_path: Path, name: str, space: str, run: str, message: str
) -> None:
    with pytest.raises(BadInput) as caught:
        specification(tmp_path, name, YAML_FILE, space, run)
    [problem] = caught.value.problems
    assert message in str(problem)
    assert str(problem).startswith("experiment.yml:2:9: config: ")


def test_a_parameter_with_a_place_of_its_own_need_not_be_in_the_file(tmp_path: Path) -> None:
    run = "x {config} --seed {seed}"
    assert specification(tmp_path, "base.yml", YAML_FILE, "{optim.lr: 0.1..1, seed: 1..9}", run).config


def test_a_placeholder_for_a_file_needs_one() -> None:
    with pytest.raises(BadInput, match="needs the key `config`"):
        parse("run: x {config}\nparameters: {a: 1..2}\nmetrics: {loss: minimize}\nbudget: 1\n", "experiment.yml")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-05, "1.0e-05"),
        (1.5e-07, "1.5e-07"),
        (1e16, "1.0e+16"),
        (0.1, "0.1"),
        (3, "3"),
        (True, "true"),
        ("no", '"no"'),
    ],
)
def test_values_are_spelt_so_that_every_reader_agrees(value: Any, text: str) -> None:
    assert spell(value) == text
