from __future__ import annotations

import numpy as np

from orchestune.engines.models.cube import Cube, Floats
from orchestune.engines.samplers.candidates import Effort, ranked
from tests.contract.engine_contract import MIXED, wide


class Counting(Cube):
    """Counts the points that constraints were asked for, which may take long walks."""

    walked = 0

    def uniform(self, count: int, random: np.random.Generator) -> Floats:
        self.walked += count
        return super().uniform(count, random)


def walked(cube: Counting, parents: Floats) -> int:
    effort = Effort(everywhere=20, near=10, close=5)
    best = ranked(cube, lambda features: features[:, 0], parents, np.random.default_rng(1), effort)
    assert not np.isnan(best).any()
    return cube.walked


def test_points_near_parents_that_lack_nothing_cost_no_walks() -> None:
    cube = Counting(wide(3).constrained(["x0 + x1 + x2 <= 0.1"]))
    assert walked(cube, np.full((4, 3), 0.01)) == 20


def test_what_parents_lack_is_drawn() -> None:
    assert walked(Counting(MIXED), np.array([[0.0, 0.5, np.nan], [1.0, np.nan, 0.5]])) > 20
