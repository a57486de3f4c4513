"""Metrics in the output of a program."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestune.worker.mask import Mask, spellings
from orchestune.worker.metrics.scanner import MAX_EXTRA_NAMES, Declared, Reported, Scanner, names

NAMES = ["accuracy", "Val_Loss", "f1-score", "eval/acc.top1"]


def scan(text: str | bytes, names: list[str] = NAMES) -> list[Reported]:
    scanner = Scanner(Declared(names))
    return scanner.feed(text.encode() if isinstance(text, str) else text) + scanner.flush()


def brief(reports: list[Reported]) -> list[tuple[Any, ...]]:
    return [(item.name, item.value, item.step, item.stddev) for item in reports]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("accuracy=0.92", [("accuracy", 0.92, None, None)]),
        ("Accuracy: 0.92 +/- 0.058", [("accuracy", 0.92, None, 0.058)]),
        ("accuracy: 0.92±0.058", [("accuracy", 0.92, None, 0.058)]),
        ("Test accuracy = .5, VAL_LOSS=1e-3", [("accuracy", 0.5, None, None), ("Val_Loss", 0.001, None, None)]),
        ("epoch 3: accuracy 1 accuracy: -2.", [("accuracy", -2.0, 3.0, None)]),
        ("step=30 epoch=2 f1-score=0.5", [("f1-score", 0.5, 30.0, None)]),
        ("Epoch [4/10] accuracy=1", [("accuracy", 1.0, 4.0, None)]),
        ("INFO:root:accuracy=0.9", [("accuracy", 0.9, None, None)]),
        ("[accuracy=0.9; eval/acc.top1: 0.8]", [("accuracy", 0.9, None, None), ("eval/acc.top1", 0.8, None, None)]),
        ("accuracy=nan val_loss: -inf", [("accuracy", math.nan, None, None), ("Val_Loss", -math.inf, None, None)]),
        ('{"accuracy": 0.9, "step": 3}', [("accuracy", 0.9, 3.0, None)]),
        ('{"name": "ACCURACY", "value": 0.9, "stddev": 0.1}', [("accuracy", 0.9, None, 0.1)]),
        ('{"accuracy": 0.9, "stddev": 0.1, "epoch": 2, "note": "x"}', [("accuracy", 0.9, 2.0, 0.1)]),
        (
            '{"accuracy": 0.9, "val_loss": 1, "stddev": 0.1}',  # of an unknown owner
            [("accuracy", 0.9, None, None), ("Val_Loss", 1.0, None, None), ("stddev", 0.1, None, None)],
        ),
        ('{"accuracy": NaN}', [("accuracy", math.nan, None, None)]),
        ("{'accuracy': 0.5, 'other': 1}", [("accuracy", 0.5, None, None)]),
        ("\x1b[1maccuracy\x1b[0m: \x1b[32m0.5\x1b[0m", [("accuracy", 0.5, None, None)]),
        ("\x1b[1maccuracy: \x1b(B\x1b[m0.5\x1b(B", [("accuracy", 0.5, None, None)]),  # `tput sgr0`
        ("\x1b7accuracy=\x1b[38:2::9:9:9m0.5\x1b8", [("accuracy", 0.5, None, None)]),
        ("lr=0.1 accuracy=0.5", [("lr", 0.1, None, None), ("accuracy", 0.5, None, None)]),
        ("accuracy: 1,234.5", [("accuracy", 1234.5, None, None)]),
        ("accuracy=12,345,678", [("accuracy", 12345678.0, None, None)]),
        ("accuracy: 1,234 lr=1,234", [("accuracy", math.nan, None, None)]),
        ("accuracy: -1,234e3, val_loss=0.5", [("accuracy", math.nan, None, None), ("Val_Loss", 0.5, None, None)]),
        ("accuracy: 1'234.5 accuracy: 1\u2019234 accuracy=1\xa0234,5 accuracy=1\u202f234", []),
        ("accuracy=1.#QNAN accuracy=1.#INF", []),
        ("accuracy=1.5*10^-3 accuracy: 1.5 × 10⁻³ accuracy=1.5x10**3 accuracy: 1.5·10²", []),
        ("accuracy=0.1..0.5", []),
        ("accuracy=0.5... **accuracy: 0.6**", [("accuracy", 0.5, None, None), ("accuracy", 0.6, None, None)]),
        ("accuracy: 0.5 +/- 0,05", [("accuracy", 0.5, None, None)]),
        ("accuracy: 0.5 ± 1,234", [("accuracy", 0.5, None, None)]),
        ("accuracy: 0.5 ± 2%", [("accuracy", 0.5, None, None)]),
        ("accuracy=1234,567", []),
        ("accuracy=0.5,123", []),
        ("accuracy=1,2 accuracy: 0,567 accuracy=1,234,5", []),
        ("accuracy=1,lr=2", [("accuracy", 1.0, None, None), ("lr", 2.0, None, None)]),
        ("accuracy: tensor(0.5000, device='cuda:0')", [("accuracy", 0.5, None, None)]),
        ("{'accuracy': np.float64(0.5)}", [("accuracy", 0.5, None, None)]),
        ("accuracy: np.mean(5)", []),
        ("accuracy: 0.92 (± 0.058)", [("accuracy", 0.92, None, 0.058)]),
        ("accuracy=0.92. Done.", [("accuracy", 0.92, None, None)]),
        ("Train Loss: 0.4, Val Loss: 0.5", [("Val_Loss", 0.5, None, None)]),
        ("Epoch 2 | val loss = 0.5 +/- 0.1", [("Val_Loss", 0.5, 2.0, 0.1)]),
        ('{"val loss": 0.5}', [("Val_Loss", 0.5, None, None)]),
        ("Accuracy on test: 0.19", [("accuracy", 0.19, None, None)]),
        (
            "Epoch 3 - accuracy (val): 0.5 - val_loss: 0.30",
            [("accuracy", 0.5, 3.0, None), ("Val_Loss", 0.3, 3.0, None)],
        ),
        ("accuracy on the held-out set = 0.5, lr=1", [("accuracy", 0.5, None, None), ("lr", 1.0, None, None)]),
        ("mean accuracy over 5 folds is 0.968", [("accuracy", 0.968, None, None)]),
        ("the accuracy over 5 CV folds was 0.968 (+/- 0.01)", [("accuracy", 0.968, None, 0.01)]),
        (
            "accuracy is 0.9, val loss was 0.2 after 3 epochs",
            [("accuracy", 0.9, None, None), ("Val_Loss", 0.2, None, None)],
        ),
        ("accuracy is 0.97 on the test set.", [("accuracy", 0.97, None, None)]),
        ("accuracy was 0.5.", [("accuracy", 0.5, None, None)]),
    ],
)
def test_a_line_reports(line: str, expected: list[tuple[Any, ...]]) -> None:
    assert repr(brief(scan(line))) == repr(expected)
    assert repr(brief(scan(line + "\n"))) == repr(expected)
    assert repr(brief(scan("x\r" + line + "\r"))) == repr(expected)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("step 1,000:", 1000.0),
        ("step=12,345,678,", 12345678.0),
        ("Iter [1,234/5,000]", 1234.0),
        ("step=1e+05", 100000.0),
        ("'global_step': 1.23457e+06,", 1234570.0),
        ("Epoch 1,000.5 |", 1000.5),
        ("epoch: 2e3,", 2000.0),
        ("step=7,", 7.0),
        ("step 1,2,3", None),
        ("step 1,0000", None),
        ("step 0,123", None),
        ("step=1e-05", None),
        ("step=1e5x", None),
        ("step=1.5", None),
    ],
)
def test_a_step_is_read_as_a_whole_or_not_at_all(text: str, step: float | None) -> None:
    assert brief(scan(f"{text} accuracy=0.5"))[-1] == ("accuracy", 0.5, step, None)


@pytest.mark.parametrize(
    "line",
    [
        "accuracy=3s", "accuracy=30%", "accuracy: 12:30:05", "accuracy=1.2.3", "accuracy=2026-01-01", "accuracy",
        "accuracy=", "accuracy=none", "accuracy=0x1f", "http://host/?accuracy=0.5&x=3", "/tmp/accuracy=0.5/x",
        "runs/accuracy=0.5", "--accuracy=0.5", "localhost:8080 other: 3", "inaccuracy=1:2", "{\"accuracy\": \"high\"}",
        "accuracy is 3 times better", "accuracy is 0.3 lower", "accuracy on GPU 3: 0.5", "accuracy is 93.1%",
        "{\"accuracy\": true}", "accuracy=nano", "accuracy=infinite", "step=3", "accuracy=1e5x", "a.accuracy: 3",
    ],
)  # fmt: skip
def test_a_line_reports_nothing(line: str) -> None:
    assert [item for item in scan(line) if item.name in NAMES] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Accuracy: 65.6%, Avg loss: 1.07", [("accuracy%", 65.6, None, None)]),
        ("epoch 2 Val Acc: 93.1% | val_acc=0.931", [("val_acc", 0.931, 2.0, None), ("val_acc%", 93.1, 2.0, None)]),
        ("accuracy%=93.1", [("accuracy%", 93.1, None, None)]),
        ("accuracy: 90% ± 2.5%", [("accuracy%", 90.0, None, 2.5)]),
        ("accuracy: 90% ± 2,5%", [("accuracy%", 90.0, None, None)]),
        ("accuracy: 30%|███", []),
        ("accuracy: 30% |███", []),
        ("accuracy: 30%5", []),
        ("accuracy: x%", []),
    ],
)
def test_percents_are_a_metric_of_their_own(line: str, expected: list[tuple[Any, ...]]) -> None:
    assert brief(scan(line, ["accuracy%", "val_acc"])) == expected


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Epoch 2 train loss: 0.1 val loss: 0.5", [0.5]),
        ("loss: 0.5\nFinal train loss: 0.1", [0.5]),
        ("Training Loss=0.1\nTest Loss=0.5\nTraining Loss=0.2\nTest Loss=0.6", [0.1, 0.5, 0.6]),
        ("train loss: 0.1\ntrain loss: 0.2", [0.1, 0.2]),
        ("training loss: 0.3, loss: 0.5 - 'train' loss: 0.1", [0.5, 0.1]),
        ("loss: 0.5\nTest loss: 0.6\nBest loss: 0.4", [0.5, 0.6, 0.4]),
        ("loss: 0.5\nretrain loss: 0.6", [0.5, 0.6]),
        ("loss on test: 0.5\nloss on train: 0.1", [0.5]),
        ("loss (train): 0.1", [0.1]),
    ],
)
def test_what_was_trained_on_is_no_metric_where_it_comes_without_that_word(text: str, values: list[float]) -> None:
    assert [item.value for item in scan(text, ["loss"])] == values
    percents = re.sub(r"(?<=\d)(?=[ ,\n]|$)", "%", text)
    assert [item.value for item in scan(percents, ["loss%"])] == values


def test_other_names_are_kept_up_to_a_number() -> None:
    reports = scan("".join(f"name{index}=1\n" for index in range(3 * MAX_EXTRA_NAMES)))
    assert len({item.name for item in reports}) == MAX_EXTRA_NAMES
    assert scan("other: 3\n") == []


TRACED = """\
lr=0.5
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    fit(PCA(n_components=39), accuracy=0.25)
    ~~~^^^^^^^^^^^^^^^^^^^^^^
sklearn.InvalidParameterError: n_components=39 must be at most n_features=38

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "train.py", line 5, in <module>
ValueError: n_components=39
loss=0.5
  indented=2
/usr/lib/sklearn/model.py:473: ConvergenceWarning: lbfgs failed to converge (status=1):
rest=3
"""


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_errors_and_warnings_tell_is_no_metric_that_nobody_declared(size: int, end: str) -> None:
    scanner, text = Scanner(Declared(NAMES)), TRACED.replace("\n", end).encode()
    reports = [item for at in range(0, len(text), size) for item in scanner.feed(text[at : at + size])]
    assert [item.name for item in reports] == ["lr", "accuracy", "loss", "indented", "rest"]


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    scanner = Scanner(Declared(NAMES))
    for _ in range(100):
        assert scanner.feed(b"x" * 65536) == []
    assert len(scanner._incomplete) <= 65536
    assert scanner.feed(b" accuracy=1\naccuracy=2\n") == [Reported("accuracy", 2.0, None, None)]


LINES = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.floats(allow_nan=False).map(lambda value: f"accuracy={value!r}".encode()),
        st.sampled_from([b"step=3 val_loss: 0.5", b'{"accuracy": 1}', b"\x1b[1maccuracy=2\x1b[0m", b"a=b", b"other=5"]),
    ),
    max_size=12,
)


@given(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"]), st.lists(st.integers(0, 400), max_size=8))
def test_how_the_output_is_cut_into_chunks_changes_nothing(lines: list[bytes], end: bytes, cuts: list[int]) -> None:
    data = end.join(lines)
    whole = Scanner(Declared(NAMES))
    expected = whole.feed(data) + whole.flush()
    pieces = Scanner(Declared(NAMES))
    reports: list[Reported] = []
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, stop in pairwise(borders):
        reports += pieces.feed(data[start:stop])
    reports += pieces.flush()
    assert repr(reports) == repr(expected)


@given(st.floats(), st.none() | st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_every_number_is_read_back_exactly(value: float, spread: float | None) -> None:
    text = f"accuracy: {value!r}" + ("" if spread is None or not math.isfinite(value) else f" +/- {spread!r}")
    (report,) = scan(text)
    assert repr(report.value) == repr(value)
    if spread is not None and math.isfinite(value):
        assert report.stddev == spread


def test_a_secret_is_hidden_in_a_name_however_it_comes_and_what_was_declared_is_none() -> None:
    scanner = Scanner(Declared(["loss", "word/acc"]), hide=Mask(spellings(["word", "loss"])).text)
    reports = [
        *scanner.document(b'{"loss": 1, "password": 2}'),
        *scanner.document(b'{"name": "word", "value": 3}'),
        *scanner.document(b'{"half\\ud800word": 4}'),
        *scanner.values({"word/acc": 5, "word/f1": 6}),
        *scanner.feed(b"loss=7 word=8\n"),
    ]
    assert [(item.name, item.value) for item in reports] == [
        ("loss", 1), ("pass***", 2), ("***", 3), ("half\ufffd***", 4), ("word/acc", 5), ("***/f1", 6), ("loss", 7),
        ("***", 8),
    ]  # fmt: skip


@given(st.binary(max_size=300))
def test_rubbish_does_no_harm(data: bytes) -> None:
    scan(data)
    Scanner(Declared(NAMES)).document(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Epoch 3 loss: 0.5, acc=0.9", ["loss", "acc"]),
        ("Train Loss: 0.4, Val Loss: 0.5 | Test Accuracy = 0.9", ["train_loss", "val_loss", "test_accuracy"]),
        ("Final accuracy: 0.9, the value 3: 4", ["accuracy"]),
        ("step: 3, epoch=2", []),
        ("contest Loss: 0.4", ["Loss"]),
        ("Loss: 0.4, Val Acc: 93.1% | 30%|##", ["Loss", "val_acc%"]),
        ("loading: 30%|## | 3/10", []),
        ("RMSE on test: 0.19, accuracy over 3 folds is 0.9", ["RMSE", "accuracy"]),
    ],
)
def test_what_could_be_declared(line: str, expected: list[str]) -> None:
    """And what is found is what would be read."""
    assert names(line.encode()) == expected
    assert [item.name for item in scan(line, expected) if item.name in expected] == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"accuracy": "0.5"}', ['accuracy came as the text "0.5", which is not a number']),
        ('{"Val_loss": {"value": 0.5}}', ['Val_Loss came as the object {"value": 0.5}, which is not a number']),
        ('{"name": "accuracy", "value": [0.5, 1]}', ["accuracy came as the list [0.5, 1], which is not a number"]),
        ('{"accuracy": null, "f1-score": true}',
         ["accuracy came as null, which is not a number", "f1-score came as true, which is not a number"]),
        ('{"accuracy": "' + "x" * 100 + '"}', ['accuracy came as the text "' + "x" * 59 + "…, which is not a number"]),
        ('{"accuracy": 0.5, "optimizer": "adam"}', []),
        ('{"accuracy": "--nan"}', ['accuracy came as the text "--nan", which is not a number']),
        ('{"accuracy": " -Infinity ", "f1-score": "+nan"}', []),
    ],
)  # fmt: skip
def test_a_declared_metric_that_is_no_number_in_json_is_told(line: str, expected: list[str]) -> None:
    scanner = Scanner(Declared(NAMES))
    scanner.document(line.encode())
    assert scanner.no_numbers(()) == expected
    assert scanner.no_numbers(NAMES) == []


def test_a_number_that_may_mean_two_is_told_whatever_else_came() -> None:
    scanner = Scanner(Declared(["loss", "n"]))
    assert (
        repr([item.value for item in scanner.feed(b"loss: 999 n=0.5\nloss: 1,234. other=5,678\n")])
        == "[999.0, 0.5, nan]"
    )
    assert scanner.no_numbers(("loss", "n")) == ["loss came as 1,234, which may be 1234 or 1.234"]


@pytest.mark.parametrize(
    ("printed", "value", "expected"),
    [
        ("1,234.5", 1234.5, []),
        ("1,234,567", 1234567.0, []),
        ("0.5,", 0.5, []),
        ("1,234", math.nan, ["loss came as 1,234, which may be 1234 or 1.234"]),
        ("0,693", None, ['loss came as the text "0,693", which is not a number']),
        ("1,5", None, ['loss came as the text "1,5", which is not a number']),
    ],
)
def test_an_expression_finds_no_other_number_than_the_one_that_is_meant(
    printed: str, value: float | None, expected: list[str]
) -> None:
    scanner = Scanner(Declared(["loss"], [r"^L (?P<loss>\S+) at (?P<step>\S+)"]))
    reports = [(item.value, item.step) for item in scanner.feed(f"L {printed} at 1,000\n".encode())]
    assert repr(reports) == repr([] if value is None else [(value, 1000.0)])
    assert scanner.no_numbers(()) == expected


def test_a_step_that_is_null_leaves_the_word_to_another() -> None:
    assert brief(scan('{"accuracy": 0.5, "step": null, "epoch": 3}')) == [("accuracy", 0.5, 3.0, None)]


@pytest.mark.parametrize("declared", [["val_loss", "val/loss"], ["val/loss", "val_loss"]])
def test_a_group_that_is_called_as_a_metric_is_that_one(declared: list[str]) -> None:
    scanner = Scanner(Declared(declared, [r"^(?P<val_loss>\S+)$"]))
    assert [item.name for item in scanner.feed(b"0.5\n")] == ["val_loss"]


def test_a_name_and_a_value_beside_a_declared_metric_are_something_else() -> None:
    reports = brief(scan('{"name": "resnet", "value": 3, "accuracy": 0.5}'))
    assert reports == [("value", 3.0, None, None), ("accuracy", 0.5, None, None)]


@pytest.mark.parametrize("printed", [b"acc=" + b"1" * 60_000, b"acc=1." + b"1" * 60_000, b"acc=1" + b",111" * 15_000])
def test_a_number_of_very_many_digits_is_scanned_in_linear_time(printed: bytes) -> None:
    """A quadratic pattern takes minutes here, in which the worker sends no heartbeats."""
    scanner = Scanner(Declared(["acc%", "loss"]))
    assert scanner.feed(printed + b"x%\n") == []
    assert names(printed + b"x%\n") == []


def test_a_printed_parameter_is_no_metric_unless_it_is_declared() -> None:
    printed = b'lr=0.01 Batch Size=32 batch_size=32 loss=0.5\n{"lr": 0.01, "loss": 0.4}\n'
    undeclared = Scanner(Declared(["loss"], parameters=["lr", "batch_size"]))
    assert [item.name for item in undeclared.feed(printed)] == ["Size", "loss", "loss"]
    declared = Scanner(Declared(["loss", "lr"], parameters=["lr", "batch_size"]))
    assert [item.name for item in declared.feed(printed)] == ["lr", "Size", "loss", "lr", "loss"]
