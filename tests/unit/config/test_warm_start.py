from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestune.config.experiment_file import Loaded, parse
from orchestune.errors import BadInput

BASE = """\
run: train {args}
parameters: {lr: 1e-5..0.1 log, opt: [sgd, adam]}
metrics: {loss: minimize}
budget: 10
"""


def load(folder: Path, warm: str, more: str = "") -> Loaded:
    return parse(f"{BASE}{more}warm_start: {warm}\n", "experiment.yml", path=folder / "experiment.yml")


def refused(folder: Path, warm: str) -> str:
    with pytest.raises(BadInput) as caught:
        load(folder, warm)
    return caught.value.message


FILES = {
    "old.csv": "lr,opt,loss\n0.01,adam,0.3\n0.02,sgd,0.4\n",
    "semicolons.csv": "\ufefflr;opt;loss\r\n0.01;adam;0.3\r\n0.02;sgd;0.4\r\n",
    "list.json": json.dumps([{"lr": 0.01, "opt": "adam", "loss": 0.3}, {"lr": 0.02, "opt": "sgd", "loss": 0.4}]),
    "under.json": '{"trials": [{"lr": 0.01, "opt": "adam", "loss": 0.3}, {"lr": 2e-2, "opt": "sgd", "loss": 0.4}]}',
    "lines.jsonl": '{"lr": 0.01, "opt": "adam", "loss": 0.3}\n\n{"lr": 0.02, "opt": "sgd", "loss": 0.4}\n',
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_results_are_read_from_the_folder_of_the_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8", newline="")
    loaded = load(tmp_path, name)
    (results,) = loaded.warm_start.known
    assert [(dict(observation.parameters), dict(observation.metrics)) for observation in results.observations] == [
        ({"lr": 0.01, "opt": "adam"}, {"loss": 0.3}),
        ({"lr": 0.02, "opt": "sgd"}, {"loss": 0.4}),
    ]
    assert loaded.notes == ()


def test_experiments_files_and_results_go_together(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(FILES["old.csv"])
    warm_start = load(tmp_path, "[sgd-7f3a, old.csv, {lr: 0.1, opt: sgd, loss: 0.9}, sgd-7f3a]").warm_start
    assert warm_start.experiments == ("sgd-7f3a",)
    assert [(results.source, len(results.observations)) for results in warm_start.known] == [
        ("the file's list", 1),
        ("old.csv", 2),
    ]


def test_one_result_needs_no_list(tmp_path: Path) -> None:
    warm_start = load(tmp_path, "{parameters: {lr: 0.1, opt: sgd}, metrics: {loss: 0.9}}").warm_start
    assert [observation.metrics for observation in warm_start.known[0].observations] == [{"loss": 0.9}]


def test_what_is_left_out_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("lr,opt,loss\n0.01,adam,0.3\n0.5,sgd,0.4\n")
    assert load(tmp_path, "old.csv").notes == (
        "warm_start: old.csv: 1 of 2 results skipped: outside this space, such as lr = 0.5",
    )


def test_an_engine_that_learns_nothing_is_a_note(tmp_path: Path) -> None:
    notes = load(tmp_path, "sgd-7f3a", "engine: random\n").notes
    assert notes == ("warm_start: has no effect: this engine does not use results",)


@pytest.mark.parametrize(
    ("warm", "content", "message"),
    [
        ("gone.csv", None, "experiment.yml:5:13: warm_start: cannot read {}/gone.csv: No such file or directory"),
        ("[a-1234, gone.csv]", None, "experiment.yml:5:22: warm_start[1]: cannot read {}/gone.csv: No such file"),
        ("~nobody-at-all/a.csv", None, "warm_start: cannot read {}/~nobody-at-all/a.csv: No such file or directory"),
        ("old.xlsx/", None, ("experiment.yml:5:13: warm_start: unsupported file type: {}/old.xlsx; supported"
                            " extensions: .csv")),
        ("bad.json", "[1]", "warm_start: {}/bad.json: entry 0 is not a mapping from names to values"),
        ("bad.json", "{", "warm_start: {}/bad.json:1: not valid JSON"),
        ("bad.json", "[" * 100_000, "warm_start: {}/bad.json: not valid JSON"),
        ("bad.jsonl", "[" * 100_000, "warm_start: {}/bad.jsonl:1: not valid JSON"),
        ("bad.json", "3", "warm_start: {}/bad.json: no list of results"),
        ("bad.jsonl", "{}\n{", "warm_start: {}/bad.jsonl:2: not valid JSON"),
        ("bad.jsonl", "{}\n3", "warm_start: {}/bad.jsonl:2: is not a mapping"),
        ("none.csv", "lr,opt,loss\n7,adam,1\n", "none.csv has no usable result: 1 of 1 results skipped"),
        ("twice.csv", "lr,opt, lr,loss\n0.01,adam,0.1,1\n", "{}/twice.csv:1: duplicate column 'lr'"),
        ("none.csv", "", "warm_start: none.csv has no usable result (results are mapped by the names"),
        ("[]", None, "warm_start: found an empty list, expected an experiment, a file of results"),
        ("[[1]]", None, "warm_start[0]: found a list, expected an experiment, a file of results"),
        ("{}", None, "warm_start: found an empty mapping, expected a mapping from the names"),
        ("7", None, "warm_start: found 7, expected an experiment such as sgd-7f3a"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_are(tmp_path: Path, warm: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / warm).write_text(content)
    assert message.format(tmp_path) in refused(tmp_path, warm)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lr: 1e-5..0.1 log", "lr: 1..0"),
        ("parameters: {lr: 1e-5..0.1 log, opt: [sgd, adam]}\n", ""),
        ("loss: minimize", "loss: small"),
        ("metrics: {loss: minimize}\n", ""),
        ("budget: 10", "budgt: 10"),
    ],
)
def test_a_file_that_is_missing_is_told_together_with_every_other_mistake(tmp_path: Path, old: str, new: str) -> None:
    text = BASE.replace(old, new) + "warm_start: gone.csv\nconfig: gone.yaml\n"
    assert text != BASE
    with pytest.raises(BadInput) as caught:
        parse(text, "experiment.yml", path=tmp_path / "experiment.yml")
    messages = caught.value.message.splitlines()
    assert len(messages) == 3
    assert f"warm_start: cannot read {tmp_path}/gone.csv: No such file or directory" in caught.value.message
    assert f"config: cannot read {tmp_path}/gone.yaml: No such file or directory" in caught.value.message
