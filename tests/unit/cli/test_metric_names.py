"""Which number of a program's is the one to optimize."""

from __future__ import annotations

import pytest

from orchestune.cli.develop.metric_names import goal, likely, ranked


@pytest.mark.parametrize(
    "name", ["val/loss", "loss", "eval_loss", "test_error", "rmse", "valid_0's rmse", "perplexity"]
)
def test_what_is_to_be_small(name: str) -> None:
    assert (goal(name), likely(name)) == ("minimize", True)


@pytest.mark.parametrize(
    "name", ["accuracy", "val_acc", "f1", "f1_macro", "test/auc", "reward", "mAP50", "eval/top1", "val_acc%"]
)
def test_what_is_to_be_large(name: str) -> None:
    assert (goal(name), likely(name)) == ("maximize", True)


@pytest.mark.parametrize("name", ["zorp", "elapsed_time", "samples", "lr", "train/learning_rate", "n"])
def test_what_may_be_anything(name: str) -> None:
    assert not likely(name)


def test_data_that_was_held_out_counts_first() -> None:
    order = ranked(["time", "zorp", "loss", "train_loss", "val_loss", "test_zorp"])
    assert order == ["val_loss", "loss", "train_loss", "test_zorp", "zorp", "time"]
