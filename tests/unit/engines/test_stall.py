"""When a search counts as one that finds nothing better."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestune.engines.samplers.stall import Stall


def stall_after(losses: Sequence[float]) -> Stall:
    stall = Stall()
    for loss in losses:
        stall.add(loss)
    return stall


FALLING = [300.0 - index for index in range(300)]
"""slowly: three steps are a hundredth of the way"""


@pytest.mark.parametrize(
    ("losses", "lasts"),
    [
        ([], False),
        ([5.0] * 39, False),
        ([5.0] * 41, True),
        (FALLING, False),
        ([*FALLING, *[50.0] * 95], False),
        ([*FALLING, *[50.0] * 101], True),
        ([*FALLING, *[50.0] * 101, -50.0], False),
        ([*FALLING, *[1.0 - index / 1000 for index in range(101)]], True),
        ([1e300, -1e300] * 30, True),
    ],
    ids=[
        "nothing",
        "too little to tell",
        "always the same",
        "better each time",
        "a quarter is not over yet",
        "nothing for a quarter of all",
        "better again",
        "better by less than a hundredth of what was gained",
        "the largest numbers",
    ],
)
def test_a_search_stalls_where_nothing_better_comes(losses: list[float], lasts: bool) -> None:
    assert stall_after(losses).lasts is lasts
