"""Numbers with a unit behind them, which are read as no value."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from orchestune.domain.specification import metric_lines, unparsed_metrics
from orchestune.domain.specification.unparsed_metrics import (
    ambiguity_hint,
    not_a_number_hint,
    separated,
    similar_name,
    unparsed_hint,
    with_unit,
)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("memory: 116.0MB\n", "memory: 116.0MB"),
        ("Results: memory=1.5e3ms, loss=0.5", "memory=1.5e3ms"),
        ("Memory = 12s\nmemory = 3s", "memory = 3s"),
        ("'memory': 30img/s", "memory': 30img/s"),
        ("memory: 116.0 MB", ""),
        ("memory: 116.0", ""),
        ("memory: 93.1%", ""),
        ("gpu_memory: 116MB", ""),
        ("memory: much", ""),
        ("memory=0x10_very" + "_long" * 20, ""),
    ],
)
def test_a_number_with_a_unit_is_found(printed: str, expected: str) -> None:
    assert with_unit("memory", printed) == expected


def test_the_words_of_a_name_may_stand_apart() -> None:
    assert with_unit("step_time", "Step Time: 12ms") == "Step Time: 12ms"
    assert with_unit("val/time", "val/time: 12ms") == "val/time: 12ms"


def test_what_the_worker_says_of_a_metric_that_came_as_no_number_is_found() -> None:
    printed = 'a\norchestune: val.loss came as the text "0.5", which is not a number\n'
    assert (
        not_a_number_hint("val.loss", printed)
        == 'it was reported as the text "0.5", which is not a number; write {"val.loss": 0.5}'
    )
    assert not_a_number_hint("loss", printed) == not_a_number_hint("val_loss", printed) == ""


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("loss: 0,693\n", "loss: 0,693"),
        ("epoch 1 Loss=1,5 acc: 0.9", "Loss=1,5"),
        ("loss: 1'234.5", "loss: 1'234.5"),
        ("loss: -1\u202f234,5", "loss: -1\u202f234,5"),
        ("loss: 1.234,5\nloss: 2,5", "loss: 2,5"),
        ("loss: 0.5, acc: 0.9", ""),
        ("val_loss: 0,5", ""),
        ("loss: 1,2,3kg", ""),
    ],
)
def test_a_number_with_something_between_its_digits_is_found(printed: str, expected: str) -> None:
    assert separated("loss", printed) == expected


def test_what_is_to_be_printed_instead_is_told() -> None:
    assert unparsed_hint("loss", "loss: 0,5") == (
        "`loss: 0,5` is not parsed as a number; print a decimal point, and no thousands separators"
    )
    assert unparsed_hint("loss", "loss: 5ms").startswith("`loss: 5ms` has a unit; ")
    assert unparsed_hint("loss", "loss: 0.5") == ""
    expression = r"\bVal\s+Loss\s+(?P<val_loss>[-+.\w]*\w)"
    expected_hint = (
        f"`Val Loss 0.5` is not parsed as a value; add `collect: {{regex: '{expression}'}}`"
        " to the experiment file, or print `val_loss=0.5`"
    )
    assert unparsed_hint("val_loss", "Val Loss 0.5") == expected_hint
    assert "{regex: '\\bloss:\\s+(?P<loss>[-+.\\w]*\\w)ms\\b'}" in unparsed_hint("loss", "loss: 5ms")


def test_what_the_worker_says_of_a_number_that_may_mean_two_is_found() -> None:
    printed = "a\norchestune: loss came as 1,234, which may be 1234 or 1.234\n"
    assert ambiguity_hint("loss", printed).startswith(
        "it was reported as 1,234, which may be 1234 or 1.234; print a decimal "
    )
    assert ambiguity_hint("acc", printed) == not_a_number_hint("loss", printed) == ""


@pytest.mark.parametrize(
    "printed",
    [
        "loss=" + "1" * 100_000,
        "loss=1." + "1" * 100_000 + "%",
        "loss: " + "1" * 100_000 + "x%",
        "loss=1e" + "1" * 100_000,
    ],
)
def test_a_number_of_very_many_digits_is_searched_in_linear_time(printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker froze the server with it: a quadratic pattern takes minutes here."""
    monkeypatch.setattr(unparsed_metrics, "_TAIL", 10**6)
    assert unparsed_hint("loss", printed) == ambiguity_hint("loss", printed) == similar_name("los", printed + "x") == ""


def test_only_the_end_of_a_long_output_is_searched() -> None:
    assert unparsed_hint("loss", "loss: 5ms" + " " * 4000)
    assert unparsed_hint("loss", "loss: 5ms" + " " * 5000) == ""
    assert unparsed_hint("loss", "val_loss: 5ms" + " " * 4087) == "", "the part of a name that is left is no name"


@pytest.mark.parametrize("line", ["x l", "l x", "l,", "l|"])
def test_of_many_short_lines_the_last_ones_are_compared(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Mock(wraps=metric_lines._cells)
    monkeypatch.setattr(metric_lines, "_cells", cells)
    unparsed_hint("l", f"{line}\n" * 1024)  # with 1,024 lines half a million rows, 2 s
    assert cells.call_count < 1000


def test_a_name_of_very_many_words_is_not_looked_for_in_sentences() -> None:
    assert unparsed_hint("loss", "loss is 0.5 today\n")
    assert unparsed_hint("_".join(["loss"] * 25), "loss is 0.5 today\n") == ""
