"""The signed-rank test against its definition."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from scipy.stats import rankdata, wilcoxon

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import PrunerObservation
from orchestune.domain.specification.metrics import Metric
from orchestune.pruners.wilcoxon import WilcoxonPruner, by_chance

STEPS = range(1, 15)


@pytest.mark.parametrize("seed", range(20))
def test_equal_differences_are_counted_like_all_others(seed: int) -> None:
    random = Random(seed)
    differences = [random.choice([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]) for _ in range(random.randrange(4, 11))]
    ranks = [rank for rank, each in zip(rankdata(list(map(abs, differences))), differences, strict=True) if each]
    reached = sum(rank for rank, each in zip(ranks, filter(None, differences), strict=True) if each > 0)
    sums = [
        sum(rank for rank, up in zip(ranks, ups, strict=True) if up)
        for ups in product((False, True), repeat=len(ranks))
    ]
    assert by_chance(differences) == pytest.approx(sum(each >= reached for each in sums) / len(sums))


@pytest.mark.parametrize("count", [4, 20, 50, 51, 300])
def test_many_differences_are_tested_as_a_library_does_it(count: int) -> None:
    random = Random(count)
    for _ in range(20):
        differences = [random.gauss(0.1, 1) for _ in range(count)]
        assert by_chance(differences) == pytest.approx(wilcoxon(differences, alternative="greater").pvalue, abs=1e-9)


def test_equal_differences_end_a_trial_by_the_probability_that_they_have() -> None:
    """Of 14, with which a normal distribution is still far off."""
    pruner = WilcoxonPruner(Metric("loss", "minimize"), min_steps=1, interval=1)
    observations = [
        PrunerObservation(2, step, 1.0 if step <= 8 else -1.0 if step <= 11 else 0.0, 0.0, 0.0) for step in STEPS
    ]
    for step in STEPS:
        pruner.tell(PrunerObservation(1, step, 0.0, 0.0, 0.0))
    pruner.finish(1, TrialState.COMPLETED)
    for observation in observations:
        pruner.tell(observation)
    assert pruner.judge(observations[-1]) is None, "of 11 coins 8 or more show heads once in nine times"


def test_the_order_of_the_steps_does_not_decide_where_losses_differ_beyond_measure() -> None:
    losses = {1.0: 1e300, 2.0: 0.3, 3.0: -1e300, 4.0: 0.4, 5.0: 0.5, 6.0: 0.6, 7.0: 0.6}
    for order in (list(losses), sorted(losses, key=lambda step: abs(losses[step]))):
        pruner = WilcoxonPruner(Metric("loss", "minimize"), min_steps=1, interval=1)
        for trial in (1, 2):
            for step in order:
                pruner.tell(PrunerObservation(trial, step, losses[step] if trial == 1 else 0.35, 0.0, 0.0))
            pruner.finish(trial, TrialState.COMPLETED)
        for step, loss in losses.items():
            pruner.tell(PrunerObservation(3, step, loss if abs(loss) > 1 else 2.0, 0.0, 0.0))
        why = pruner.judge(PrunerObservation(3, 7.0, 2.0, 0.0, 0.0))
        assert why is not None and "trial 1, which has 0.342857 on average" in why
