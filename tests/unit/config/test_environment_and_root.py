"""The setting `inherit` of `env`, and the root of the project of an experiment file."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestune.config.experiment_file import load
from orchestune.errors import BadInput

FILE = "run: python a.py {x}\nparameters: {x: 0..1}\nmetrics: {loss: minimize}\nbudget: 2\n"


def test_inherit_is_a_setting_and_no_variable(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yml"
    path.write_text(FILE + "env: {A: 1, inherit: false}\n")
    specification = load(path).specification
    assert (specification.env, specification.inherit_env) == ({"A": "1"}, False)
    path.write_text(FILE + "env: {A: 1}\n")
    assert load(path).specification.inherit_env
    assert not load(path, ["env.inherit=false"]).specification.inherit_env


def test_another_value_of_inherit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment.yml").write_text(FILE + "env: {inherit: sometimes}\n")
    with pytest.raises(BadInput, match=r"env\.inherit: found 'sometimes', expected true or false"):
        load(tmp_path / "experiment.yml")


@pytest.mark.parametrize(
    ("name", "text", "root", "folder"),
    [
        ("experiment.yml", "", "src", ""),
        ("search.yml", "", "", "src"),
        ("experiment.yml", "code: {root: ..}\n", "", "src"),
        ("search.yml", "code: {root: .}\n", "src", ""),
    ],
)
def test_a_file_of_the_default_name_marks_its_own_folder(
    tmp_path: Path, name: str, text: str, root: str, folder: str
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / name).write_text(FILE + text)
    loaded = load(tmp_path / "src" / name)
    assert (loaded.project.path, loaded.code.folder, loaded.folder) == (tmp_path / root, folder, tmp_path / "src")
