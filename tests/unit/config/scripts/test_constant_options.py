"""Constants of scripts without options, as parameters of a draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import plain
from orchestune.config.scripts import drafting, reading
from orchestune.errors import UsageError

CONSTANTS = "LR = 0.1\nBATCH = 64\nPENALTY = 'l2'\nBIAS = True\nSEED = 0\nNOTE = '''long\ntext'''\n"


def drafted(folder: Path, values: dict[str, str] | None = None, name: str = "train.py") -> tuple[dict[str, Any], Any]:
    draft = drafting.draft(reading.read(folder / name, folder, "python"), folder, values or {})
    document: dict[str, Any] = plain(draft.document)
    return document, draft


def test_a_script_without_options_offers_its_constants(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(CONSTANTS)
    document, draft = drafted(tmp_path)
    assert document["run"] == "python train.py"
    assert document["constants"] == "train.py"
    assert document["parameters"] == {"LR": "0.001..1.0 log", "BATCH": [16, 32, 64, 128, 256], "BIAS": "bool"}
    assert draft.defaults == {"LR": 0.1, "BATCH": 64, "PENALTY": "l2", "BIAS": True, "SEED": 0}
    assert [line for line, _ in draft.asides] == ["PENALTY: ['l2']", "SEED: 0..10"]


def test_r_does_too(tmp_path: Path) -> None:
    (tmp_path / "train.R").write_text("lr <- 0.1\nepochs <- 5L\n")
    document, _ = drafted(tmp_path, name="train.R")
    assert (document["run"], document["constants"]) == ("Rscript train.R", "train.R")
    assert document["parameters"] == {"lr": "0.001..1.0 log"}


def test_options_that_can_be_varied_come_first(tmp_path: Path) -> None:
    parser = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default=0.1)\n"
    (tmp_path / "train.py").write_text(f"BATCH = 64\n{parser}")
    document, _ = drafted(tmp_path)
    assert list(document["parameters"]) == ["lr"]
    assert "constants" not in document


def test_required_options_of_the_script_stay_in_the_command(tmp_path: Path) -> None:
    parser = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--data', required=True)\n"
    (tmp_path / "train.py").write_text(f"{parser}ALPHA = 0.1\n")
    document, draft = drafted(tmp_path, {"data": "x.csv"})
    assert document["run"] == "python train.py --data=x.csv"
    assert list(document["parameters"]) == ["ALPHA"]
    assert draft.asides == ()


def test_constants_of_a_settings_module_are_those_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import helpers\nimport config\nprint(config.LR)\n")
    (tmp_path / "helpers.py").write_text("ALPHA = 0.5\n")
    (tmp_path / "config.py").write_text("LR = 0.1\n")
    document, _ = drafted(tmp_path)
    assert document["constants"] == "config.py"
    assert list(document["parameters"]) == ["LR"]


@pytest.mark.parametrize("text", ["SEED = 3\nEPOCHS = 5\n", "print('loss: 1')\n", "x = [1, 2]\n"])
def test_nothing_is_invented_without_constants(text: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(text)
    with pytest.raises(UsageError, match="no options, constants or settings found"):
        drafted(tmp_path)
