"""Constants of a script with the values of one trial."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestune.worker.files.constants import lines, substitute


def template(*rows: list[Any], path: str = "train.py") -> dict[str, Any]:
    return {"path": path, "lines": [{"number": row[0], "parts": row[1:]} for row in rows]}


RATE = [1, "lr = ", ["lr", "0.1"], "  # rate"]


@pytest.mark.parametrize(
    ("name", "literal", "value", "text"),
    [
        ("train.py", "0.1", 1e-05, "1e-05"), ("train.py", "3", 8, "8"), ("train.py", "True", False, "False"),
        ("train.py", '"l2"', 'a"b\n', repr('a"b\n')), ("train.py", "0.1", None, "0.1"),
        ("train.R", "64L", 32, "32L"), ("train.r", "64", 32, "32"), ("train.R", "TRUE", False, "FALSE"),
        ("train.R", '"l2"', 'a"b\n', '"a\\"b\\n"'), ("train.R", "0.1", 1e-05, "1e-05"),
    ],
)  # fmt: skip
def test_values_are_literals_of_the_language(name: str, literal: str, value: Any, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(f"x <- {literal} # it\n")
    parts = [1, "x <- ", ["x", literal], " # it"]
    substitute(str(tmp_path), template(parts, path=name), {"x": value})
    assert (tmp_path / name).read_text() == f"x <- {text} # it\n"


def test_everything_else_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_bytes("lr = 0.1  # rate\r\nprint('é')\r\n".encode())
    (tmp_path / "train.py").chmod(0o555)
    substitute(str(tmp_path), template(RATE), {"lr": 0.5})
    assert (tmp_path / "train.py").read_bytes() == "lr = 0.5  # rate\r\nprint('é')\r\n".encode()
    assert stat.S_IMODE((tmp_path / "train.py").stat().st_mode) == 0o555
    assert os.listdir(tmp_path) == ["train.py"]


def test_a_line_that_has_moved_is_located_by_its_text(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import os\n\nlr = 0.1  # rate\n")
    substitute(str(tmp_path), template(RATE), {"lr": 0.5})
    assert (tmp_path / "train.py").read_text() == "import os\n\nlr = 0.5  # rate\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = 0.2  # rate\n", "train.py has no line `lr = 0.1  # rate` (line 1 when the experiment was created)"),
        ("\nlr = 0.1  # rate\nlr = 0.1  # rate\n", "train.py has several lines `lr = 0.1  # rate`"),
    ],
)
def test_a_line_that_has_changed_is_an_error_that_says_which(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(text)
    with pytest.raises(ValueError, match=r"train\.py has") as refused:
        substitute(str(tmp_path), template(RATE), {"lr": 0.5})
    assert message in str(refused.value)
    assert (tmp_path / "train.py").read_text() == text


def test_a_script_that_is_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file in the code of this trial"):
        substitute(str(tmp_path), template(RATE), {"lr": 0.5})


@pytest.mark.parametrize("linked", ["src", "src/train.py"])
def test_the_users_own_file_is_never_changed_through_a_link(linked: str, tmp_path: Path) -> None:
    own, view = tmp_path / "own", tmp_path / "view"
    for folder in (own / "src", view):
        folder.mkdir(parents=True)
    (own / "src" / "train.py").write_text("lr = 0.1  # rate\n")
    (view / linked).parent.mkdir(exist_ok=True)
    (view / linked).symlink_to(own / linked)
    with pytest.raises(ValueError, match="it is a link"):
        substitute(str(view), template(RATE, path="src/train.py"), {"lr": 0.5})
    assert (own / "src" / "train.py").read_text() == "lr = 0.1  # rate\n"


def test_bytecode_of_another_trial_is_not_used(tmp_path: Path) -> None:
    """Both modules have the same size and, written in the same second, would have the same modification time."""
    for value in (0.25, 0.75):
        (tmp_path / "config.py").write_text("lr = 0.50  # rate\n")
        parts = [1, "lr = ", ["lr", "0.50"], "  # rate"]
        substitute(str(tmp_path), template(parts, path="config.py"), {"lr": value})
        output = subprocess.run(
            [sys.executable, "-c", "import config; print(config.lr)"], cwd=tmp_path, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        assert output.stdout.strip() == str(value)


def test_lines_are_those_of_the_copy() -> None:
    assert lines(template(RATE), {"lr": 0.5}) == {"train.py:1": "lr = 0.5  # rate"}
    assert lines(None, {"lr": 0.5}) == {}
