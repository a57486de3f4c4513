"""Numbered values on their way to the server."""

from __future__ import annotations

from orchestune.worker.metrics import points as module
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.scanner import Reported


def report(name: str, value: float, step: float | None = None) -> Reported:
    return Reported(name, value, step, None)


def test_each_name_is_numbered_from_zero_and_kept_until_acknowledged() -> None:
    points = PointQueue(["a"])
    points.add([report("a", 1.0, 3), report("b", 2.0), report("a", 3.0)])
    parts, count = points.parts(2)
    assert parts == [[0, "a", 1.0, 3, None], [0, "b", 2.0, None, None]]
    assert points.parts(2)[0] == parts
    points.acknowledge(count)
    assert points.to_json() == [[1, "a", 3.0, None, None]]
    assert points.step == 3


def test_a_last_value_that_is_not_finite_is_among_the_last_words() -> None:
    points = PointQueue(["a"])
    points.add([report("a", 1.0), report("a", float("nan"))])
    points.acknowledge(2)
    points.close()
    assert (points.to_json(), points.unsent_deciding([])) == ([], [[1, "a", "nan", None, None]])
    points = PointQueue(["a"])
    points.add([report("a", float("-inf"))])
    points.close()
    assert points.to_json() == [[0, "a", "-inf", None, None]]
    assert points.unsent_deciding(points.to_json()) == []


def test_last_words_outlive_the_worker_and_are_told_with_the_end_though_they_went_before() -> None:
    points = PointQueue(["a"])
    points.add([report("a", 1.0), report("a", float("nan"))])
    points.close()
    restored = PointQueue.restore(points.to_json(), points.deciding)
    sent, count = restored.parts(10)
    assert restored.unsent_deciding(sent) == []
    restored.acknowledge(count)
    assert restored.unsent_deciding([]) == [[1, "a", "nan", None, None]]


def test_a_last_value_that_is_not_finite_is_told_with_the_end_though_it_is_on_its_way() -> None:
    points = PointQueue(["a", "b"])
    points.add([report("a", float("nan")), report("b", 1.0), report("c", float("nan")), report("a", float("inf"))])
    on_its_way, count = points.parts(10)
    points.close()
    points.acknowledge(count)
    rest, _ = points.parts(10)
    assert (rest, points.unsent_deciding(rest)) == ([], [[1, "a", "inf", None, None]])
    assert points.unsent_deciding(on_its_way) == []


def test_what_is_read_after_the_end_is_bounded_however_fast_the_server_takes_it() -> None:
    points = PointQueue(["a"])
    points.add([report("a", -1.0)])
    points.end()
    sent = 0
    for index in range(module.MAX_POINTS + 100):
        points.add([report("a", float(index)), report("b", float(index))])
        sent += len(points)
        points.acknowledge(len(points))
    points.close()
    assert sent == 1 + module.MAX_POINTS
    assert [point[1:3] for point in points.to_json()] == [["a", module.MAX_POINTS + 99], ["b", module.MAX_POINTS + 99]]


def test_too_many_values_keep_the_newest_one() -> None:
    points = PointQueue(["a"])
    for index in range(module.MAX_POINTS + 100):
        points.add([report("a", float(index))])
    assert len(points) == module.MAX_POINTS
    points.close()
    assert points.to_json()[-1] == [module.MAX_POINTS, "a", float(module.MAX_POINTS + 99), None, None]
