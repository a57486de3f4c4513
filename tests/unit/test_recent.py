"""Things that are computed once for many who look."""

from __future__ import annotations

from orchestune.services.recent import Recent


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_thing_is_made_once_for_each_version_and_the_dear_ones_less_often() -> None:
    clock, made = Clock(), list[int]()
    recent: Recent[int] = Recent(20.0, clock)

    def make() -> int:
        clock.now += 0.5  # what it takes
        made.append(len(made) + 1)
        return made[-1]

    assert [recent.get("a", 1, make) for _ in range(3)] == [1, 1, 1]
    assert recent.get("a", 2, make) == 1, "it was made half a second ago"
    assert recent.get("b", 1, make) == 2
    clock.now += 20 * 0.5
    assert recent.get("a", 1, make) == 1, "nothing has changed"
    assert recent.get("a", 2, make) == 3 == len(made)


def test_without_rest_nothing_is_shown_that_has_changed() -> None:
    recent: Recent[int] = Recent()
    assert [recent.get("a", version, lambda version=version: version) for version in (1, 1, 2, 3)] == [1, 1, 2, 3]  # type: ignore[misc]


def test_those_that_nobody_asked_for_longest_are_forgotten() -> None:
    clock, made = Clock(), list[int]()
    recent: Recent[None] = Recent(clock=clock)
    for key in [*range(60), 59, 0]:
        recent.get(key, 1, lambda key=key: made.append(key))  # type: ignore[misc]
    assert made == [*range(60), 0]
