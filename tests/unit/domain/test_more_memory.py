"""Memory of a trial that was killed because it ran out of it."""

from __future__ import annotations

import pytest

from orchestune.domain.resources.gpus import Gpu
from orchestune.domain.resources.more_memory import next_memory, size
from orchestune.domain.resources.resources import Capacity, Machine, Resources

MIB = 2**20
PLACE = Capacity((
    Machine(4, 1000 * MIB, name="small", pool="cpu"),
    Machine(4, 3000 * MIB, name="large", pool="cpu"),
    Machine(4, 9000 * MIB, (Gpu("0"),), name="cards", pool="gpu"),
))  # fmt: skip


@pytest.mark.parametrize(
    ("has", "factor", "gets"),
    [
        (100 * MIB, 1.5, 150 * MIB),
        (100 * MIB + 1, 1.5, 151 * MIB),
        (2500 * MIB, 1.5, 3000 * MIB),
        (3000 * MIB, 1.5, 0),
        (None, 1.5, None),
    ],
)
def test_it_is_so_many_times_as_much_and_never_more_than_the_largest_machine_has(
    has: int | None, factor: float, gets: int | None
) -> None:
    assert next_memory(PLACE, Resources(1, has), factor) == gets


def test_it_counts_what_the_machines_have_that_such_a_trial_may_use() -> None:
    assert next_memory(PLACE, Resources(1, 8000 * MIB, 1), 2) == 9000 * MIB
    assert next_memory(PLACE, Resources(1, 2500 * MIB), 2, pool="gpu") == 5000 * MIB
    assert next_memory(PLACE, Resources(8, 100 * MIB), 2) == 0
    assert next_memory(Capacity((), elastic=True), Resources(1, 3000 * MIB), 2) == 6000 * MIB


def test_what_others_hold_and_may_give_back_counts() -> None:
    lent = Capacity((Machine(1, 100 * MIB, lent=Resources(0, 300 * MIB)),))
    assert next_memory(lent, Resources(memory=100 * MIB), 2) == 200 * MIB


def test_what_something_else_takes_with_each_trial_is_not_given_to_it() -> None:
    assert next_memory(PLACE, Resources(1, 2500 * MIB), 1.5, beside=200 * MIB) == 2800 * MIB
    assert next_memory(PLACE, Resources(1, 2500 * MIB), 1.5, beside=600 * MIB) == 0


def test_an_amount_is_written_as_people_write_it() -> None:
    assert (size(96 * MIB), size(1536 * MIB)) == ("96 MiB", "1.5 GiB")
