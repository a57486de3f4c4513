from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestune.engines.models.history import History, Losses, best

steady = settings(derandomize=True, database=None)


def filled(losses: list[list[float] | None], limit: int, objectives: int = 1) -> History[int]:
    history: History[int] = History(limit, objectives)
    for index, loss in enumerate(losses):
        history.add(index, loss)
    return history


def numbers(count: int, objectives: int = 1) -> list[list[float] | None]:
    random = Random(count)
    return [[random.random() for _ in range(objectives)] for _ in range(count)]


def test_a_short_history_is_kept_whole_and_in_order() -> None:
    assert filled(numbers(60), 100).window() == [(index, index) for index in range(60)]


@steady
@given(st.integers(0, 700), st.sampled_from([50, 100, 300]), st.integers(1, 3))
def test_a_long_history_is_cut_to_the_limit(count: int, limit: int, objectives: int) -> None:
    window = filled(numbers(count, objectives), limit, objectives).window()
    assert len(window) <= limit
    assert len(window) >= min(count, limit // 2)
    assert [index for index, _ in window] == sorted({index for index, _ in window})


def test_the_best_and_the_newest_are_kept() -> None:
    losses = numbers(2000)
    indices = {index for index, _ in filled(losses, 300).window()}
    ranked = sorted(range(2000), key=lambda index: losses[index] or [])
    assert set(ranked[:25]) <= indices
    assert set(range(1975, 2000)) <= indices


def test_the_rest_is_kept_evenly() -> None:
    indices = [index for index, _ in filled(numbers(4000), 450).window()]
    quarters = [sum(start <= index < start + 1000 for index in indices) for start in range(0, 4000, 1000)]
    assert all(70 < quarter < 160 for quarter in quarters)


def test_what_is_kept_does_not_depend_on_when_somebody_looked() -> None:
    losses = numbers(900, 2)
    watched: History[int] = History(100, 2)
    for index, loss in enumerate(losses):
        watched.add(index, loss)
        watched.window()
    assert watched.window() == filled(losses, 100, 2).window()


def test_what_cannot_be_good_is_never_among_the_best() -> None:
    losses = numbers(2000)
    for index in range(0, 2000, 2):
        losses[index] = None
    indices = {index for index, _ in filled(losses, 100).window()}
    ranked = sorted((index for index in range(2000) if losses[index]), key=lambda index: losses[index] or [])
    assert set(ranked[:10]) <= indices


def test_of_equals_the_earliest_are_the_best() -> None:
    assert [index for _, index, _ in best([([1.0], index, index) for index in range(50)], 3)] == [0, 1, 2]


class Counted(float):
    """A loss that counts how often it is compared."""

    compared = 0

    def __le__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) <= other

    def __lt__(self, other: float) -> bool:
        Counted.compared += 1
        return float(self) < other


def test_of_many_with_two_losses_no_pairs_are_compared_one_by_one() -> None:
    """Every ask looks for the best."""
    entries: list[tuple[Losses, int, int]] = [
        ([Counted(loss) for loss in losses or ()], index, index) for index, losses in enumerate(numbers(600, 2))
    ]
    assert len(best(entries, 60)) == 60
    assert Counted.compared < 600 * 20


def test_with_two_losses_the_front_is_kept() -> None:
    random = Random(4)
    points: list[list[float] | None] = [[random.uniform(1, 2), random.uniform(1, 2)] for _ in range(1000)]
    front = {100: [0.0, 0.9], 400: [0.5, 0.5], 800: [0.9, 0.0]}
    for index, losses in front.items():
        points[index] = losses
    indices = {index for index, _ in filled(points, 100, 2).window()}
    assert set(front) <= indices
