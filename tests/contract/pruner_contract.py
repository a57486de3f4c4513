"""The promises of every rule of early stopping, as one class of tests."""

from __future__ import annotations

import random

import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.specification.curves import WORST, LearningCurve, PrunerObservation
from orchestune.domain.specification.metrics import Metric
from orchestune.ports.pruner import Pruner

ACCURACY = Metric("accuracy", "maximize")
STEPS = 27


class PrunerContract:
    """Give `make`; trials report an accuracy at the steps 1 to 27."""

    def make(self) -> Pruner:
        """A new one with the rule's defaults."""
        raise NotImplementedError

    @pytest.fixture
    def pruner(self) -> Pruner:
        """A new one."""
        return self.make()

    def test_decision_steps_of_a_trial_grow_with_its_steps_and_never_lie_ahead(self, pruner: Pruner) -> None:
        for trial in range(1, 20):
            decisions = [pruner.decision_step(trial, step / 4) for step in range(4 * STEPS)]
            steps = [decision for decision in decisions if decision is not None]
            assert steps == sorted(steps)
            assert decisions[: len(decisions) - len(steps)] == [None] * (len(decisions) - len(steps))
            assert all(decision <= step / 4 for step, decision in enumerate(decisions) if decision is not None)

    def test_a_decision_step_is_its_own_decision_step(self, pruner: Pruner) -> None:
        for step in range(1, 5000):
            decision = pruner.decision_step(3, step / 3)
            assert decision is None or pruner.decision_step(3, decision) == decision

    def test_a_step_beyond_measure_is_one(self, pruner: Pruner) -> None:
        for trial in range(1, 20):
            curve = LearningCurve(ACCURACY)
            curve.add(0.5, 1.7e308)
            assert pruner.decision_step(trial, curve.step) is not None
            curve.add(0.5, -1.7e308)
            assert pruner.decision_step(trial, curve.step) is None

    def test_the_first_trials_go_on_whatever_they_report(self, pruner: Pruner) -> None:
        assert all(why is None for why in run(pruner, 1, [0.01] * STEPS))

    def test_a_trial_that_is_always_the_best_goes_on(self, pruner: Pruner) -> None:
        for trial in range(1, 31):
            assert all(why is None for why in run(pruner, trial, rising(0.02 * trial)))
            pruner.finish(trial, TrialState.COMPLETED)

    def test_equal_trials_go_on(self, pruner: Pruner) -> None:
        for trial in range(1, 31):
            assert all(why is None for why in run(pruner, trial, rising(0.5)))
            pruner.finish(trial, TrialState.COMPLETED)

    def test_a_trial_far_worse_than_all_others_is_ended_and_told_why(self, pruner: Pruner) -> None:
        for trial in range(1, 31):
            run(pruner, trial, rising(0.8 + trial / 1000))
            pruner.finish(trial, TrialState.COMPLETED)
        why = next(filter(None, run(pruner, 31, rising(0.1))))
        assert why.startswith(("accuracy", "the best accuracy"))
        assert "step" in why

    def test_what_is_not_finite_is_worse_than_anything(self, pruner: Pruner) -> None:
        for trial in range(1, 31):
            run(pruner, trial, rising(0.8 + trial / 1000))
            pruner.finish(trial, TrialState.COMPLETED)
        assert any(run(pruner, 31, [float("nan")] * STEPS))
        assert not any(run(pruner, 32, rising(0.99)))

    def test_it_answers_the_same_in_whatever_order_it_was_told(self) -> None:
        observed, ends = history(random.Random(7))
        straight, shuffled = self.make(), self.make()
        for observation in observed:
            straight.tell(observation)
        for trial, state in ends:
            straight.finish(trial, state)
        order = random.Random(8)
        order.shuffle(observed)
        order.shuffle(ends)
        for observation in observed:
            shuffled.tell(observation)
        for trial, state in ends:
            shuffled.finish(trial, state)
        live = [observation for observation in observed if observation.trial > 40]
        assert [straight.judge(observation) for observation in live] == [
            shuffled.judge(observation) for observation in live
        ]
        assert any(straight.judge(observation) for observation in live)

    def test_an_observation_that_is_told_again_counts_once_with_its_newer_values(self) -> None:
        observed, ends = history(random.Random(9))
        straight, repeated = self.make(), self.make()
        for observation in observed:
            repeated.tell(PrunerObservation(observation.trial, observation.step, WORST, WORST, WORST))
            straight.tell(observation)
        for observation in observed:
            repeated.tell(observation)
        for pruner in (straight, repeated):
            for trial, state in [*ends, *ends]:
                pruner.finish(trial, state)
        live = [observation for observation in observed if observation.trial > 40]
        assert [straight.judge(observation) for observation in live] == [
            repeated.judge(observation) for observation in live
        ]

    def test_a_trial_is_judged_by_what_it_showed_up_to_the_observation(self, pruner: Pruner) -> None:
        for trial in range(1, 31):
            run(pruner, trial, rising(0.5 + trial / 100))
            pruner.finish(trial, TrialState.COMPLETED)
        one_by_one = run(pruner, 31, rising(0.3))
        assert [pruner.judge(observation) for observation in observations(pruner, 31, rising(0.3))] == one_by_one
        assert any(one_by_one)

    def test_judging_changes_nothing(self, pruner: Pruner) -> None:
        observed, ends = history(random.Random(10))
        for observation in observed:
            pruner.tell(observation)
        for trial, state in ends:
            pruner.finish(trial, state)
        live = [observation for observation in observed if observation.trial > 40]
        assert [pruner.judge(observation) for observation in live] == [
            pruner.judge(observation) for observation in live
        ]


def rising(height: float) -> list[float]:
    """A learning curve that comes near `height`."""
    return [height * (1 - 0.7**step) for step in range(1, STEPS + 1)]


def run(pruner: Pruner, trial: int, values: list[float]) -> list[str | None]:
    """Report the values like a trial that is never stopped; return the verdict at each decision step."""
    judgements = []
    for observation in observations(pruner, trial, values):
        pruner.tell(observation)
        judgements.append(pruner.judge(observation))
    return judgements


def observations(pruner: Pruner, trial: int, values: list[float]) -> list[PrunerObservation]:
    """Return the observation of the trial at each of its decision steps."""
    curve, observed, before = LearningCurve(ACCURACY), [], None
    for step, value in enumerate(values, start=1):
        curve.add(value, step)
        decision = pruner.decision_step(trial, step)
        if decision is not None and decision != before:
            observed.append(curve.observation(trial, decision))
        before = decision
    return observed


def history(chance: random.Random) -> tuple[list[PrunerObservation], list[tuple[int, TrialState]]]:
    """Return observations of 60 trials at every power of 3 and 4 and every step, and how the first 40 ended."""
    observed: list[PrunerObservation] = []
    for trial in range(1, 61):
        curve, height = LearningCurve(ACCURACY), chance.random()
        for step, value in enumerate(rising(height), start=1):
            curve.add(value + chance.gauss(0, 0.02), step)
            observed.append(curve.observation(trial, float(step)))
    states = (TrialState.COMPLETED, TrialState.COMPLETED, TrialState.FAILED, TrialState.PRUNED)
    return observed, [(trial, chance.choice(states)) for trial in range(1, 41)]
