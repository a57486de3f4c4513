"""Scripts of shells whose variables are set from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestune.config.document.nodes import plain
from orchestune.config.scripts import drafting, reading
from orchestune.errors import UsageError


def drafted(folder: Path, text: str, answers: dict[str, str] | None = None) -> dict[str, Any]:
    path = folder / "train.sh"
    path.write_text(text)
    experiment: dict[str, Any] = plain(
        drafting.draft(reading.read(path, folder, "python"), folder, answers or {}).document
    )
    return experiment


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('python train.py --lr ${LR:-0.01} --batch-size "${BATCH:-64}"\n', "LR={LR} BATCH={BATCH} sh train.sh"),
        ('rate=${LR-0.01}\nreadonly DEPTH="${DEPTH:=3}"; ./train\n', "LR={LR} DEPTH={DEPTH} sh train.sh"),
        ("LR=${LR:-0.01}\r\nWD=${WD:-1e-4}\r\n", "LR={LR} WD={WD} sh train.sh"),
        ("DROPOUT=0.2\necho ${DROPOUT:-0.1} ${LR:-0.01}  # ${WD:-0.1}\n", "LR={LR} sh train.sh"),
        ("echo ${MASTER_PORT:-29500} ${OMP_NUM_THREADS:-4} ${LR:-0.01}\n", "LR={LR} sh train.sh"),
    ],
)
def test_what_has_a_default_is_set_before_the_command(tmp_path: Path, text: str, command: str) -> None:
    assert drafted(tmp_path, text)["run"] == command


def test_arguments_stand_in_their_places_up_to_the_last_that_is_varied(tmp_path: Path) -> None:
    text = '#!/bin/bash\nLR=${1:-0.01}\nSEED="${2:-1}"\nexport BATCH=${3-64}\nNAME=${4:-a b}\npython train.py $LR\n'
    experiment = drafted(tmp_path, text)
    assert (experiment["run"], list(experiment["parameters"])) == ("bash train.sh {LR} 1 {BATCH}", ["LR", "BATCH"])


def test_variables_beside_arguments_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text("LR=${1:-0.01}\necho ${WD:-0.1}\n")
    draft = drafting.draft(reading.read(path, tmp_path, "python"), tmp_path, {})
    assert draft.notes == (
        "WD: read from the environment and not varied; to vary it, write `WD={WD}` before the command",
    )


def test_what_an_argument_has_to_be_is_asked_for_and_stands_first(tmp_path: Path) -> None:
    text = "DATA=$1\nLR=${2:-0.01}\n"
    path = tmp_path / "train.sh"
    path.write_text(text)
    assert [option.name for option in drafting.missing(reading.read(path, tmp_path, "python"))] == ["DATA"]
    assert drafted(tmp_path, text, {"DATA": "my data"})["run"] == "sh train.sh 'my data' {LR}"


@pytest.mark.parametrize(
    ("text", "run"),
    [
        (
            (
                'lr=0.01\ndepth=3 wd=1e-4\nwhile getopts "l:d:vw:" o; do\n  case $o in\n    l) lr=$OPTARG ;;\n'
                '    d)\n      depth="${OPTARG}";;\n    v) verbose=1;;\n    w) wd="$OPTARG";;\n  esac\ndone\n'
            ),
            "bash train.sh -l {lr} -d {depth} -w {wd}",
        ),
        (
            (
                "while getopts ':l:e:' f; do case \"${f}\" in 'l') rate=$OPTARG;; e) epochs=$OPTARG;; esac; done\n"
                "epochs=${epochs:-5}\npython train.py --lr ${rate:-0.1} --wd ${WD:-0.01}\n"
            ),
            "bash train.sh -l {rate}",
        ),
    ],
)
def test_options_of_getopts_stand_in_the_command_as_letters(tmp_path: Path, text: str, run: str) -> None:
    assert drafted(tmp_path, f"#!/bin/bash\n{text}")["run"] == run


def test_variables_beside_options_of_getopts_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text(
        "lr=0.1; epochs=5\nwhile getopts l:e: o; do case $o in l) lr=$OPTARG;; e) epochs=$OPTARG;; esac; done\n"
        "echo $lr ${WD:-0.1}\n"
    )
    draft = drafting.draft(reading.read(path, tmp_path, "python"), tmp_path, {})
    assert draft.defaults == {"lr": 0.1, "epochs": 5}
    assert draft.asides == (("epochs: 2..10", "default 5; add -e {epochs} to run"),)
    assert draft.notes == (
        "WD: read from the environment and not varied; to vary it, write `WD={WD}` before the command",
    )


@pytest.mark.parametrize(
    "text",
    [
        "fit() {\n  local LR=${1:-0.01}\n}\nfit 3\n",
        "while [ $# -gt 0 ]; do case $1 in --lr) LR=$2; shift 2;; esac; done\nLR=${1:-0.01}\n",
        "LR=${1:-0.01}\nDATA=$2\nSEED=${4:-1}\n",
        "NAME=${1:-run}\n",
    ],
)
def test_places_that_are_not_certain_are_none(tmp_path: Path, text: str) -> None:
    try:
        run = drafted(tmp_path, text)["run"]
    except UsageError:  # nothing that could be varied
        return
    assert run == "sh train.sh {LR}"
