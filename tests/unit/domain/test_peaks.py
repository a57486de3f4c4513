"""Memory that is reserved for a trial after others were measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestune.domain.resources.peaks import MIN_ATTEMPTS, MemoryPeaks, set_aside
from orchestune.domain.resources.resources import Resources

MIB, GIB = 2**20, 2**30
REQUESTED = Resources(cpu=1, memory=2 * GIB)


def peaks(*sizes: int) -> MemoryPeaks:
    peaks = MemoryPeaks()
    for size in sizes:
        peaks = peaks.with_one_more(size * MIB)
    return peaks


def test_a_few_attempts_say_nothing() -> None:
    assert set_aside(REQUESTED, peaks(*[100] * (MIN_ATTEMPTS - 1)), 64 * GIB) == REQUESTED
    assert set_aside(Resources(), MemoryPeaks(), 64 * GIB) == Resources()


def test_what_was_measured_is_set_aside_with_a_margin() -> None:
    assert set_aside(REQUESTED, peaks(80, 100, 90, 80, 80), 64 * GIB) == Resources(cpu=1, memory=141 * MIB)
    assert set_aside(Resources(), peaks(*[100] * 5), 64 * GIB).memory == 141 * MIB


def test_more_than_was_asked_is_set_aside_where_trials_take_more() -> None:
    assert set_aside(REQUESTED, peaks(*[4000] * 5), 64 * GIB).memory == 5016 * MIB
    assert set_aside(REQUESTED, peaks(*[4000] * 5), 4 * GIB).memory == 4 * GIB  # one at a time, rather than never


def test_a_surprise_ends_the_trust_in_measurements() -> None:
    surprised = peaks(100, 100, 100, 100, 100, 142)
    assert surprised.surprises == 1
    assert set_aside(REQUESTED, surprised, 64 * GIB) == REQUESTED
    assert set_aside(Resources(), surprised, 64 * GIB).memory == 2 * 194 * MIB
    killed = peaks(*[100] * 5).with_one_more(100 * MIB, killed=True)
    assert set_aside(REQUESTED, killed, 64 * GIB) == REQUESTED


@given(st.lists(st.integers(1, 10**5), max_size=30), st.sampled_from([None, 500 * MIB]))
def test_never_less_than_any_trial_took_as_far_as_there_is_so_much(sizes: list[int], requested: int | None) -> None:
    memory = set_aside(Resources(memory=requested), peaks(*sizes), 2**60).memory
    assert memory is None or memory == requested or memory > max(sizes) * MIB
