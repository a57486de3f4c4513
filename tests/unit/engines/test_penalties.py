"""Detection of penalties."""

from __future__ import annotations

import numpy as np
import pytest

from orchestune.domain.lifecycle.states import TrialState
from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.search.trial import Observation
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.models.training_data import TrainingPoint, without_penalties
from orchestune.engines.samplers.gp import GpProposer


def entries(*losses: float | None) -> list[TrainingPoint]:
    return [TrainingPoint(np.zeros(1), None if loss is None else (loss,), (0.0,)) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "penalties"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 1e9, 1e9, 1e9], 3),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 1.0, 1.0, 1.0], 3),
        ([-1e308, -0.9e308, -0.8e308, -0.8e308, -0.8e308, 1e308, 1e308, 1e308], 3),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.8, 0.8, 0.8], 0),  # as far as the others lie apart
        ([0.1, 0.2, 0.3, 0.4, 0.5, 1e9, 1e9], 0),  # two may be equal by chance
        ([0.1, 0.2, 0.3, 0.4, 1e9, 1e9, 1e9], 0),  # four may be near each other by chance
        ([0.1, 0.2, 0.3, 0.4, 0.5, 1e9, 2e9, 3e9], 0),
        ([1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 0.1, 0.2, 0.3], 0),
        ([0.5] * 10, 0),
        ([None, None, 0.5], 0),
        ([], 0),
    ],
)
def test_what_several_share_far_behind_all_others_is_a_penalty(losses: list[float | None], penalties: int) -> None:
    points = entries(*losses)
    points_left = without_penalties(points)
    assert sum(item.failed for item in points_left) == penalties + losses.count(None)
    assert [item.losses for item in points_left if not item.failed] == [
        item.losses
        for item in points
        if not item.failed and (not penalties or item.losses != (max(filter(None, losses)),))
    ]


def test_of_several_metrics_nothing_is_a_penalty() -> None:
    points = [TrainingPoint(np.zeros(1), (loss, 0.0), (0.0, 0.0)) for loss in (0.1, 0.2, 0.3, 0.4, 0.5, 1e9, 1e9, 1e9)]
    assert not any(item.failed for item in without_penalties(points))


def test_a_process_answers_a_penalty_as_a_failure() -> None:
    space, metrics = Space.of((Parameter("x", "float", 0.0, 1.0),)), (Metric("loss", "minimize"),)
    answers = []
    for penalty in (None, 1e9):
        proposer = GpProposer(space, metrics, 1)
        for number in range(1, 21):
            x = number / 21
            loss = penalty if x > 0.7 else (x - 0.6) ** 2
            state = TrialState.FAILED if loss is None else TrialState.COMPLETED
            proposer.tell([Observation(number, {"x": x}, state, {} if loss is None else {"loss": loss})])
        answers.append([proposer.propose([], number, number) for number in range(21, 29)])
    assert answers[0] == answers[1]
