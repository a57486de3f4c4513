"""Expressions for `collect` that are built from printed lines."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from orchestune.domain.specification.metric_lines import metric_line
from orchestune.worker.metrics.scanner import Declared, Scanner

TABLE = """\
epoch  train_loss  val_loss  time
    1      0.7000    0.6500    3s
    2      0.5000    0.4800    3s
"""
REPORT = """\
              precision    recall  f1-score   support

           0       1.00      0.98      0.99       180

    accuracy                           0.97       360
"""


@pytest.mark.parametrize(
    ("name", "printed", "values"),
    [
        ("acc", "acc 93.1%", [(93.1, None)]),
        ("acc", "acc 93.1 %\nacc 94.0 %", [(93.1, None), (94.0, None)]),
        ("accuracy", "Accuracy: 93.1%", [(93.1, None)]),
        ("accuracy", "best accuracy of all 30 epochs was 0.97!", [(0.97, None)]),
        ("accuracy", "Acc (test) -> 0.97", [(0.97, None)]),
        ("rmse", "RMSE on fold 3: 0.19", [(0.19, None)]),
        ("val_loss", "Epoch 3/10 - Validation Loss 0.30", [(0.30, 3.0)]),
        ("val/loss", "[epoch 3] loss 0.2 | val loss 0.3", [(0.3, 3.0)]),
        ("val_loss", TABLE, [(0.65, 1.0), (0.48, 2.0)]),
        ("loss", "| step | loss |\n|------|------|\n| 10 | 0.5 |\n| 20 | 0.4 |", [(0.5, 10.0), (0.4, 20.0)]),
        ("auc", "epoch,auc,seconds\n1,0.81,12\n2,0.84,11", [(0.81, 1.0), (0.84, 2.0)]),
        ("accuracy", REPORT, [(0.97, None)]),
        ("accuracy", "\u2502 accuracy \u2502 0.93 \u2502", [(0.93, None)]),
        ("loss", "\x1b[32mloss\x1b[0m \x1b[1m0.5\x1b[0m", [(0.5, None)]),
        ("val_loss", "Epoch 3/10 - train loss 0.72 - val loss 0.71", [(0.71, 3.0)]),
        ("train_loss", "Epoch 3/10 - train loss 0.72 - val loss 0.71", [(0.72, 3.0)]),
        ("val_acc", "train loss 0.72, val loss 0.71, val acc 0.9", [(0.9, None)]),
        ("step_time", "Step Time: 12.5ms", [(12.5, None)]),
        ("score", "it's the score (mean): 5", [(5.0, None)]),
    ],
)
def test_the_expression_of_a_line_matches_its_value(
    name: str, printed: str, values: list[tuple[float, float | None]]
) -> None:
    line = metric_line(name, printed)
    assert line is not None
    scanner = Scanner(Declared([name], [line.expression]))
    reported = [*scanner.feed(printed.encode()), *scanner.flush()]
    assert [(item.value, item.step) for item in reported if item.name == name] == values


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("loss", "loss 3 epochs"),
        ("loss", "the loss of step 3"),
        ("loss", "val_loss 0.5, loss.py 3, loss-2"),
        ("loss", "loss: 0.5"),
        ("loss", "no number\nloss"),
        ("loss", "orchestune: loss 0.5"),
        ("rmse", "mse 0.5"),
        ("2nd", "2nd 0.5"),
        ("loss", "loss " + "x" * 300 + " 0.5"),
        ("loss", "time loss\n3 x"),
    ],
)
def test_a_line_without_a_value_of_the_metric_has_no_expression(name: str, printed: str) -> None:
    assert metric_line(name, printed) is None


def test_the_values_of_the_training_are_not_taken_for_those_of_the_test() -> None:
    printed = "test loss of epoch 3 is 0.3 here\ntrain loss of epoch 3 is 0.1 here"
    line = metric_line("loss", printed)
    assert line is not None and line.text.startswith("test")
    assert re.findall(line.expression, printed) == ["0.3"]


def test_a_name_is_not_put_together_from_both_sides_of_a_number() -> None:
    assert metric_line("val_acc", "val loss 0.71 test acc 0.9") is None
    assert metric_line("loss", "Epoch 3/10 - train loss 0.72 - val auc 0.71") is None


def test_the_key_of_the_file_is_valid_yaml() -> None:
    line = metric_line("loss", "it's the 'loss' \\ 0.5")
    assert line is not None
    assert YAML(typ="safe").load(line.collect) == {"collect": {"regex": line.expression}}


def test_a_long_line_of_digits_or_words_takes_linear_time() -> None:
    for printed in ("loss " + "1" * 280, "loss " * 56, "loss \t" * 40 + "0.5", ("loss " * 50 + "\n") * 15):
        metric_line("loss", printed)
