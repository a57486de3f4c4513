"""Metrics from what programs print anyway and from the files that they write."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event

from orchestune.worker.metrics import sources as sources_module
from orchestune.worker.metrics import tensorboard
from orchestune.worker.metrics.formats import JsonLinesParser
from orchestune.worker.metrics.scanner import MAX_EXTRA_NAMES, Declared, Reported, Scanner
from orchestune.worker.metrics.sources import Sources, in_order


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading looks for files."""
    monkeypatch.setattr(sources_module, "SEARCH_PAUSE_FACTOR", 0)


Values = list[tuple[str, Any, float | None]]


def brief(reports: list[Reported]) -> Values:
    return [(item.name, pytest.approx(item.value, rel=1e-6), item.step) for item in reports]


def sources(folder: Path, kind: str, where: str, *declared: str) -> Sources:
    return Sources([{"kind": kind, "where": where}], str(folder), Scanner(Declared(declared or ("loss",))))


def printed(text: str, *declared: str, expressions: tuple[str, ...] = ()) -> Values:
    scanner = Scanner(Declared(declared, expressions))
    return brief([*scanner.feed(text.encode()), *scanner.flush()])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "\r\x1b[1m9/9\x1b[0m \x1b[32m━━\x1b[0m 2s 14ms/step - loss: 0.2 - val_accuracy: 0.93 - val_loss: 0.21\n",
            [("val_accuracy", 0.93, None), ("val_loss", 0.21, None)],
        ),
        (
            "75/75 [=====>] - 4s 2ms/step - loss: 0.2990 - val_loss: 1.3e-01 - val_accuracy: 0.9600\n",
            [("val_loss", 0.13, None), ("val_accuracy", 0.96, None)],
        ),
        (
            "Epoch 3: 100%|██████████| 10/10 [00:01<00:00,  8.12it/s, v_num=0, train_loss=0.512, val_loss=0.420]\r",
            [("v_num", 0.0, 3.0), ("train_loss", 0.512, 3.0), ("val_loss", 0.42, 3.0)],
        ),
        ("{'eval_loss': 0.5, 'val_loss': 0.25, 'epoch': 2.0}\n", [("val_loss", 0.25, 2.0)]),
        ('{"val_loss": 0.25, "epoch": 2}\n', [("val_loss", 0.25, 2.0)]),
        ("val_loss=0.25\n", [("val_loss", 0.25, None)]),
        ("[25]\ttrain-rmse:0.61\tval_loss:0.31\n", [("val_loss", 0.31, None)]),
    ],
)
def test_lines_of_the_usual_libraries_are_understood(line: str, expected: Values) -> None:
    assert printed(line, "val_loss", "val_accuracy") == expected


def test_a_table_is_understood_by_the_users_own_expression() -> None:
    text = "| epoch | loss |\n|     1 | 0.50 |\n|     2 | 0.25 |\r|     3 | n/a |\n"
    expression = r"\|\s+(?P<step>\d+) \| (?P<val_loss>\S+) \|"
    assert printed(text, "val/loss", expressions=(expression,)) == [("val/loss", 0.5, 1.0), ("val/loss", 0.25, 2.0)]


def test_an_expression_that_would_take_for_ever_sees_short_lines_alone() -> None:
    assert printed("x" * 60_000 + " loss 1\n", "loss", expressions=(r"loss (?P<loss>\d+)",)) == []


def test_a_growing_table_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    tables = sources(tmp_path, "csv", "metrics.csv")
    assert tables.read() == []
    path.write_text("epoch,loss,lr,note\n0,0.5,1e-3,x\n1,0.2")
    assert brief(tables.read()) == [("loss", 0.5, 0.0), ("lr", 0.001, 0.0)]
    with path.open("a") as file:
        file.write("5,1e-3,x\n2,0.125,,")
    assert brief(tables.read()) == [("loss", 0.25, 1.0), ("lr", 0.001, 1.0)]
    assert brief(tables.finish()) == [("loss", 0.125, 2.0)]


def test_a_cell_that_may_mean_two_numbers_is_none_and_one_with_a_comma_for_a_point_is_told(tmp_path: Path) -> None:
    scanner = Scanner(Declared(["loss", "acc"]))
    (tmp_path / "metrics.csv").write_text("step;loss;acc\n1,000;999;0,5\n2,000;1,234;0,6\n")
    reports = Sources([{"kind": "csv", "where": "metrics.csv"}], str(tmp_path), scanner).finish()
    assert repr([(item.name, item.value, item.step) for item in reports]) == (
        "[('loss', 999.0, 1000.0), ('loss', nan, 2000.0)]"
    )
    assert scanner.no_numbers(("loss",)) == [
        'acc came as the text "0,6", which is not a number', "loss came as 1,234, which may be 1234 or 1.234",
    ]  # fmt: skip


def test_a_cell_that_goes_on_in_other_lines_is_one_and_a_quote_that_nobody_closes_costs_little(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    tables = sources(tmp_path, "csv", "metrics.csv")
    path.write_text('step,loss,"no\nte"\n1,0.5,"a\n7,0.1,b"\n2,0.25,5" wide\n')
    assert [item for item in brief(tables.read()) if item[0] == "loss"] == [("loss", 0.5, 1.0), ("loss", 0.25, 2.0)]
    with path.open("a") as file:
        file.write('3,0.125,"half')
    assert brief(tables.read()) == []
    with path.open("a") as file:
        file.write(' ""a""\n9,9"\n4,0.0625,"open\n' + f"x,y{'z' * 1000}\n" * 100 + "5,0.03125,\n")
    assert [item for item in brief(tables.finish()) if item[0] == "loss"] == [
        ("loss", 0.125, 3.0), ("loss", 0.0625, 4.0), ("loss", 0.03125, 5.0),
    ]  # fmt: skip


def test_a_table_that_is_written_anew_with_another_column_counts_no_row_twice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    tables = sources(tmp_path, "csv", "metrics.csv")
    path.write_text("step;train\n0;0.5\n1;0.4\n" + "2;0.30000000000000000000000000000\n")
    assert [item.step for item in tables.read()] == [0.0, 1.0, 2.0]
    path.write_text("step;train;loss\n0;0.5;\n1;0.4;\n2;0.3;\n3;;0.2\n")
    assert brief(tables.finish()) == [("loss", 0.2, 3.0)]


def test_a_table_that_grew_while_it_was_written_anew_is_read_by_its_new_heading(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    tables = sources(tmp_path, "csv", "metrics.csv")
    path.write_text("step,train\n0,0.5\n")
    assert brief(tables.read()) == [("train", 0.5, 0.0)]
    path.write_text("step,train,loss\n0,0.5,\n1,,0.25\n")
    assert brief(tables.read()) == [("loss", 0.25, 1.0)]
    assert tables.finish() == []


def test_a_table_that_has_other_rows_by_now_is_another_one(tmp_path: Path) -> None:
    """As where a program writes down its latest result alone."""
    path = tmp_path / "results.csv"
    tables = sources(tmp_path, "csv", "results.csv")
    for epoch, loss in enumerate((0.5, 0.25, 0.125)):
        path.write_text(f"epoch,train,loss\n{epoch},,{loss}\n")
        assert brief(tables.read()) == [("loss", loss, epoch)]
    path.write_text("epoch,train,loss\n7,0.3,0.0625\n8,0.2,0.03125\n")
    assert [item for item in brief(tables.finish()) if item[0] == "loss"] == [("loss", 0.0625, 7), ("loss", 0.03125, 8)]


@pytest.mark.parametrize("cell", ["a\rb", "a" * 200_000])
def test_a_line_of_a_table_that_cannot_be_taken_apart_reports_nothing(tmp_path: Path, cell: str) -> None:
    (tmp_path / "metrics.csv").write_bytes(f"loss,note\n0.5,{cell}\n0.25,fine\n".encode())
    tables = sources(tmp_path, "csv", "metrics.csv")
    assert brief(tables.finish()) == [("loss", 0.25, None)]


def test_json_lines_and_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.jsonl").write_text('{"loss": 0.5, "step": 1}\nno json\n{"loss": 0.25, "step": 2}')
    assert brief(sources(tmp_path, "jsonl", "logs/*.jsonl").finish()) == [("loss", 0.5, 1.0), ("loss", 0.25, 2.0)]
    (tmp_path / "all_results.json").write_text('{\n  "loss": 0.125,\n  "model": "x"\n}\n')
    json_sources = sources(tmp_path, "json", "all_results.json")
    assert json_sources.read() == []
    assert brief(json_sources.finish()) == [("loss", 0.125, None)]


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for where in ("pipe", "endless"):
        sources_read = sources(tmp_path, kind, where)
        assert sources_read.read() == sources_read.finish() == []


@pytest.mark.parametrize(
    ("kind", "text"), [("json", '{"loss": 0.5}'), ("jsonl", '{"loss": 0.5}\n'), ("csv", "loss\n0.5\n")]
)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "metrics").write_text(text, encoding="utf-8-sig")
    assert brief(sources(tmp_path, kind, "metrics").finish()) == [("loss", 0.5, None)]


def test_metrics_within_objects_of_json_lines_are_found_by_their_paths(tmp_path: Path) -> None:
    lines = '{"step": 1, "eval": {"loss": 0.5, "other": 1}}\n{"eval": {"deep": {"auc": 0.9}}, "lr": 0.1}\n{"eval": {'
    (tmp_path / "a.jsonl").write_text(lines)
    reports = sources(tmp_path, "jsonl", "a.jsonl", "eval/loss", "eval.deep.auc").finish()
    assert brief(reports) == [("eval/loss", 0.5, 1.0), ("lr", 0.1, None), ("eval.deep.auc", 0.9, None)]


@pytest.mark.parametrize("depth", [500, 900, 1500, 8000])
def test_objects_in_more_objects_than_python_recurses_do_no_harm(depth: int) -> None:
    scanner = Scanner(Declared(["loss"]))
    assert JsonLinesParser(scanner, "x").feed(b'{"a":' * depth + b"1" + b"}" * depth + b"\n") == []
    JsonLinesParser(scanner, "x").feed(b'{"loss":' + b"[" * depth + b"]" * depth + b"}\n")
    assert len(scanner.no_numbers(())) <= 1


def test_a_declared_metric_within_objects_that_is_no_number_is_told(tmp_path: Path) -> None:
    lines = [
        '{"eval": {"loss": "0.5", "deep": {"auc": {"value": 0.9}}, "other": "adam", "f1": null}}',
        '{"eval": {"f1": 0.5}}',
    ]
    scanner = Scanner(Declared(("eval/loss", "eval.deep.auc", "eval.f1")))
    reports = [reported for line in lines for reported in JsonLinesParser(scanner, "").line(line.encode())]
    assert brief(reports) == [("eval.f1", 0.5, None)]
    assert scanner.no_numbers({item.name for item in reports}) == [
        'eval/loss came as the text "0.5", which is not a number',
        'eval.deep.auc came as the object {"value": 0.9}, which is not a number',
    ]


def test_tensorboards_events_are_followed(tmp_path: Path) -> None:
    events = sources(tmp_path, "tensorboard", "runs", "val/loss")
    with SummaryWriter(str(tmp_path / "runs/Nov25_host")) as writer:
        writer.add_scalar("val/loss", 0.5, 1)
        writer.add_histogram("weights", [1.0, 2.0, 3.0], 1)
        writer.add_text("note", "val/loss", 1)
        first: list[Reported] = []
        deadline = time.monotonic() + 60
        while not first:
            assert time.monotonic() < deadline
            writer.flush()  # of what the writer's thread has taken out of its queue by now
            first = events.read()
        assert brief(first) == [("val/loss", 0.5, 1.0)]
        writer.add_scalar("val/loss", 1e-7, 2**33)
        writer.add_scalar("val/loss", float("nan"), 5)
    [small, none] = events.finish()
    assert (small.name, small.step) == ("val/loss", 2**33)
    assert small.value == pytest.approx(1e-7)
    assert none.value != none.value


def test_runs_that_share_a_tag_are_told_apart(tmp_path: Path) -> None:
    for run, value in (("train", 0.1), ("validation", 0.2)):
        with SummaryWriter(str(tmp_path / "logs" / run)) as writer:
            writer.add_scalar("epoch_loss", value, 1)
    reports = sources(tmp_path, "tensorboard", "logs", "validation/epoch_loss").finish()
    assert ("validation/epoch_loss", pytest.approx(0.2), 1.0) in brief(reports)
    assert len({item.name for item in reports}) == 2


def tensor_event(**fields: Any) -> bytes:
    event = Event(step=7)
    value = event.summary.value.add(tag="loss")
    for name, content in fields.items():
        target = getattr(value.tensor, name)
        if isinstance(content, list):
            target.extend(content)
        else:
            setattr(value.tensor, name, content)
    return bytes(event.SerializeToString())


@pytest.mark.parametrize(
    "fields",
    [
        {"dtype": 1, "tensor_content": struct.pack("<f", 0.5)},
        {"dtype": 2, "tensor_content": struct.pack("<d", 0.5)},
        {"dtype": 19, "tensor_content": struct.pack("<e", 0.5)},
        {"dtype": 1, "float_val": [0.5]},
        {"dtype": 2, "double_val": [0.5]},
    ],
)
def test_scalars_of_tensorflow_2_are_tensors(fields: dict[str, Any]) -> None:
    assert tensorboard.scalars(tensor_event(**fields)) == [tensorboard.TaggedScalar("loss", 7, 0.5)]


def test_a_tensor_of_many_numbers_is_no_scalar() -> None:
    assert tensorboard.scalars(tensor_event(dtype=1, tensor_content=struct.pack("<ff", 0.5, 0.5))) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"not an event file at all, but long enough",
                                    lambda data: os.urandom(500)])  # fmt: skip
def test_a_damaged_file_of_events_ends_nothing(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    (tmp_path / "runs").mkdir()
    event = tensor_event(dtype=1, float_val=[0.5])
    record = struct.pack("<QI", len(event), 0) + event + b"\0" * 4
    (tmp_path / "runs/events.out.tfevents.1").write_bytes(damage(record))
    assert sources(tmp_path, "tensorboard", "runs").finish() == []


def test_mlflows_folder(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns/0/abc/metrics/val"
    folder.mkdir(parents=True)
    (folder / "loss").write_text("1700000000000 0.5 0\n1700000000001 0.25 1\n")
    (folder.parents[1] / "meta.yaml").write_text("x: 1\n")
    reports = sources(tmp_path, "mlflow", "mlruns", "val/loss").finish()
    assert brief(reports) == [("val/loss", 0.5, 0.0), ("val/loss", 0.25, 1.0)]


@pytest.mark.parametrize("where", ["mlruns", "mlruns/0", "mlruns/0/run", "mlruns/0/run/metrics", "ml*/*/run"])
def test_mlflows_metrics_are_found_from_any_folder_above_them_and_nothing_else_is(tmp_path: Path, where: str) -> None:
    view = tmp_path / "metrics" / "view"
    run = view / "mlruns" / "0" / "run"
    for folder, name in (("metrics", "loss"), ("params", "betas")):
        (run / folder).mkdir(parents=True)
        (run / folder / name).write_text("1700000000000 0.25 3\n")
    assert brief(sources(view, "mlflow", where).finish()) == [("loss", 0.25, 3.0)]


def test_of_very_many_metrics_of_mlflow_the_declared_ones_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "mlruns/0/abc/metrics"
    folder.mkdir(parents=True)
    for number in range(sources_module.MAX_FILES):
        (folder / f"class_{number}").write_text("1700000000000 0.5 0\n")
    folders = sources(tmp_path, "mlflow", "mlruns")
    assert len(folders.read()) == MAX_EXTRA_NAMES
    (folder / "loss").write_text("1700000000000 0.25 1\n")
    assert brief(folders.finish()) == [("loss", 0.25, 1.0)]


def test_two_stars_are_any_number_of_folders(tmp_path: Path) -> None:
    for depth in range(3):
        folder = tmp_path.joinpath("logs", *"ab"[:depth])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "m.csv").write_text(f"loss\n{depth}\n")
    reports = sources(tmp_path, "csv", "logs/**/m.csv").finish()
    assert sorted(item.value for item in reports) == [0.0, 1.0, 2.0]


def test_a_path_that_is_there_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "out[1]").mkdir()
    (tmp_path / "out[1]" / "m.csv").write_text("loss\n1\n")
    table = sources(tmp_path, "csv", "out[1]/m.csv")
    assert (table.absent(), brief(table.finish())) == ([], [("loss", 1.0, None)])


@pytest.mark.parametrize(
    ("kind", "text"),
    [("csv", ",loss\n0,0.5\n1,0.25\n"), ("jsonl", '{"": 1, "loss": 0.5}\n{" ": 2, "loss": 0.25}\n')],
)
def test_a_column_without_a_name_is_no_metric(tmp_path: Path, kind: str, text: str) -> None:
    (tmp_path / "history").write_text(text)
    assert brief(sources(tmp_path, kind, "history").finish()) == [("loss", 0.5, None), ("loss", 0.25, None)]


def test_folders_with_very_many_files_are_looked_through_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = 100.0, 0
    monkeypatch.setattr(sources_module, "SEARCH_PAUSE_FACTOR", 20)

    def files(top: str) -> Iterator[tuple[str, str]]:
        nonlocal now, looks
        now, looks = now + 2.0, looks + 1
        yield from ()

    monkeypatch.setattr(sources_module, "_files", files)
    monkeypatch.setattr(sources_module, "time", SimpleNamespace(monotonic=lambda: now))
    (tmp_path / "runs").mkdir()
    event_files = sources(tmp_path, "tensorboard", "runs")
    for _ in range(100):
        event_files.read()
        now += 1.0
    before = looks
    assert before <= 4
    event_files.finish()
    assert looks == before + 1, "at the end, too"


def at(value: float, step: float | None = None, name: str = "loss") -> Reported:
    return Reported(name, value, step, None)


@pytest.mark.parametrize(
    ("files", "printed", "last"),
    [
        ([at(0.5, 1)], [at(0.4)], 0.4),
        ([at(0.4)], [at(0.5, 1)], 0.4),
        ([at(0.5, 1), at(0.4, 2)], [at(0.3, 3)], 0.3),
        ([at(0.5, 1), at(0.3, 3)], [at(0.4, 2)], 0.3),
        ([at(0.5)], [at(0.4)], 0.5),
        ([at(0.5)], [at(0.4, 3)], 0.5),
        ([at(0.5)], [], 0.5),
        ([], [at(0.5)], 0.5),
        ([at(0.5), at(9.0, 7, "acc")], [at(8.0, name="acc")], 0.5),
    ],
)
def test_of_what_two_sources_report_at_once_the_later_step_comes_last_and_the_whole_trial_behind_it(
    files: list[Reported], printed: list[Reported], last: float
) -> None:
    reports = in_order(files, printed)
    assert sorted(map(str, reports)) == sorted(map(str, [*files, *printed]))
    assert [item.value for item in reports if item.name == "loss"][-1] == last
    for source in (files, printed):
        assert [item for item in reports if item in source] == source


def test_metrics_within_objects_of_a_json_file_are_found_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"loss": {"train": 0.5}, "a": {"b": {"c": 1}}, "other": {"x": 2}, "n": [1]}')
    scanner = Scanner(Declared(["loss/train", "a.b.c"]))
    reports = Sources([{"kind": "json", "where": "r.json"}], str(tmp_path), scanner).finish()
    assert [(item.name, item.value) for item in reports] == [("loss/train", 0.5), ("a.b.c", 1.0)]


@pytest.mark.parametrize(("kind", "where"), [("csv", "log*.csv"), ("mlflow", "log*")])
def test_a_folder_whose_own_name_reads_like_a_pattern_is_no_pattern(tmp_path: Path, kind: str, where: str) -> None:
    folder = tmp_path / "try [1]"
    (folder / "logs" / "metrics").mkdir(parents=True)
    (folder / "log.csv").write_text("loss\n0.5\n")
    (folder / "logs" / "metrics" / "loss").write_text("1 0.5 3\n")
    source = sources(folder, kind, where)
    assert [(item.name, item.value) for item in source.finish()] == [("loss", 0.5)]
    assert source.absent() == []


def test_places_that_hold_nothing_are_told(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("loss\n1\n")
    (tmp_path / "runs").mkdir()
    named = [("csv", "there.csv"), ("csv", "logs/*.csv"), ("tensorboard", "runs"), ("regex", "(?P<loss>x)")]
    collect = [{"kind": kind, "where": where} for kind, where in named]
    assert Sources(collect, str(tmp_path), Scanner(Declared(["loss"]))).absent() == ["logs/*.csv", "runs"]


def test_event_files_are_found_in_more_folders_in_folders_than_python_recurses(tmp_path: Path) -> None:
    deepest = tmp_path / "runs" / "/".join(["d"] * 550)
    deepest.mkdir(parents=True)
    (deepest / "metrics").mkdir()
    (deepest / "metrics" / "loss").write_text("1 0.5 3\n")
    (tmp_path / "runs" / "loop").symlink_to(tmp_path / "runs")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(500)
    try:
        reports = brief(sources(tmp_path, "mlflow", "runs").finish())
    finally:
        sys.setrecursionlimit(limit)
    assert reports == [("loss", 0.5, 3.0)]
