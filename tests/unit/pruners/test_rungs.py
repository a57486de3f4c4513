"""The steps at which asha compares trials, and how many of them it prunes."""

from __future__ import annotations

from random import Random

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import LearningCurve
from orchestune.domain.specification.early_stopping import EarlyStopping
from orchestune.ports.pruner import Pruner
from orchestune.pruners.registry import create
from tests.contract.pruner_contract import ACCURACY


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (EarlyStopping("asha"), [1, 4, 16, 64]),
        (EarlyStopping("asha", min_steps=3), [3, 12, 48]),
        (EarlyStopping("asha", reduction=2), [1, 2, 4, 8, 16, 32, 64]),
        (EarlyStopping("asha", min_steps=2, reduction=3), [2, 6, 18, 54]),
    ],
)
def test_trials_are_compared_at_steps_that_grow_by_a_factor(rule: EarlyStopping, steps: list[int]) -> None:
    pruner = create(rule, [ACCURACY])
    compared_at = [pruner.decision_step(1, step) for step in range(101)]
    assert sorted({step for step in compared_at if step is not None}) == steps


def completed(pruner: Pruner, trials: int, epochs: int, random: Random) -> int:
    """Return how many of the trials, which rank at random at first and by their quality later, are not pruned."""
    count = 0
    for trial in range(1, trials + 1):
        curve, quality, last = LearningCurve(ACCURACY), random.random(), None
        for epoch in range(1, epochs + 1):
            curve.add(quality * epoch / epochs + random.random() / epoch, epoch)
            decision_step = pruner.decision_step(trial, epoch)
            if decision_step is None or decision_step == last:
                continue
            last, observation = decision_step, curve.observation(trial, decision_step)
            pruner.tell(observation)
            if pruner.judge(observation) is not None:
                break
        else:
            count += 1
            pruner.finish(trial, TrialState.COMPLETED)
    return count


def test_a_quarter_of_the_trials_of_ten_epochs_complete_by_default() -> None:
    counts = [completed(create(EarlyStopping("asha"), [ACCURACY]), 24, 10, Random(seed)) for seed in range(40)]
    assert 6 <= sum(counts) / len(counts) <= 10
