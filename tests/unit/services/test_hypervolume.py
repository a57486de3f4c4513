"""Volume of the objective space that results dominate."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import TypeAdapter

from orchestune import documents
from orchestune.errors import UsageError
from orchestune.services.core import Core
from orchestune.services.queries import read_experiments, read_hypervolume
from orchestune.services.queries.read_hypervolume import growth, reference, undominated
from tests.testbeds.seed import Plan, Writer, core_of

TWO = ({"name": "error", "goal": "minimize"}, {"name": "score", "goal": "maximize"})


@pytest.fixture
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = core_of(tmp_path_factory.mktemp("volumes"))
    yield core
    core.store.close()


def written(core: Core, metrics: object, outcomes: list[tuple[str, dict[str, float]]]) -> str:
    waiting = iter(outcomes)

    def outcome(parameters: object, chance: object) -> tuple[str, dict[str, float], None]:
        return (*next(waiting), None)

    parameters = [{"name": "x", "type": "float", "min": 0.0, "max": 1.0}]
    plan = Plan("volumes", parameters, metrics, outcome, len(outcomes), len(outcomes))  # type: ignore[arg-type]
    return Writer(core.store, plan, random.Random(0)).write()


def test_each_result_that_nothing_beats_adds_what_it_alone_covers(core: Core) -> None:
    results = [
        ("completed", {"error": 2.0, "score": 2.0}),
        ("completed", {"error": 3.0, "score": 1.0}),  # beaten by the first
        ("failed", {}),
        ("completed", {"error": 1.0, "score": 1.0}),
        ("completed", {"error": 3.0, "score": 3.0}),
    ]
    answer = read_hypervolume.hypervolume(core, written(core, TWO, results))
    TypeAdapter(documents.Hypervolume).validate_python(answer)
    assert answer["metrics"] == ["error", "score"]
    assert answer["reference"] == pytest.approx({"error": 3.2, "score": 0.8})
    assert answer["finished"] == answer["number"] == [1, 4, 5]
    assert answer["value"] == pytest.approx([1.2 * 1.2, 1.44 + 0.2 * 1.0, 1.64 + 0.2 * 1.0])


def test_a_result_beyond_a_limit_covers_nothing(core: Core) -> None:
    metrics = [*TWO, {"name": "size", "goal": "minimize", "constraint": "<= 10", "optimized": False}]
    results = [
        ("completed", {"error": 0.1, "score": 9.0, "size": 11.0}),
        ("completed", {"error": 2.0, "score": 2.0, "size": 10.0}),
        ("completed", {"error": 1.0, "score": 1.0, "size": 3.0}),
    ]
    answer = read_hypervolume.hypervolume(core, written(core, metrics, results))
    assert answer["number"] == [2, 3]
    assert answer["reference"] is not None and answer["reference"]["error"] == pytest.approx(2.1)


def test_nothing_is_covered_before_a_result_counts(core: Core) -> None:
    nothing: documents.Hypervolume = {
        "metrics": ["error", "score"], "reference": None, "finished": [], "number": [], "value": [],
    }  # fmt: skip
    assert read_hypervolume.hypervolume(core, written(core, TWO, [("failed", {})])) == nothing


def test_one_objective_has_no_hypervolume(core: Core) -> None:
    ref = written(core, TWO[:1], [("completed", {"error": 1.0})])
    with pytest.raises(UsageError, match="optimizes only error"):
        read_hypervolume.hypervolume(core, ref)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_volume_is_the_share_of_random_points_that_a_result_beats(width: int) -> None:
    random = np.random.default_rng(width)
    points, where = random.random((40, width)) ** 2, np.full(width, 0.8)
    draws = 0.8 * random.random((40_000, width))
    beaten = np.zeros(len(draws), bool)
    steps = dict(growth(points, where))
    volume = 0.0
    for place, point in enumerate(points):
        beaten |= (point <= draws).all(axis=1)
        volume = steps.get(place, volume)
        assert volume == pytest.approx(beaten.mean() * 0.8**width, abs=0.012)


def test_no_result_is_compared_with_all_of_a_long_front(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = list[int]()

    def counted(points: np.ndarray) -> np.ndarray:
        compared.append(len(points))
        return undominated(points)

    monkeypatch.setattr(read_hypervolume, "undominated", counted)
    places = np.random.default_rng(1).random(300)
    steps = list(growth(np.stack([places, 1 - places], axis=1), np.ones(2)))
    assert len(steps) == 300 and sum(compared) <= 300


def test_a_result_that_diverged_does_not_move_the_reference() -> None:
    points = np.array([[1.0, 2.0], [2.0, 1.0], [1.5, 1.5], [2.5, 2.5], [1e9, 1e9]])
    front = undominated(points)
    assert front.tolist() == [[1.0, 2.0], [1.5, 1.5], [2.0, 1.0]]
    assert reference(points, front).tolist() == pytest.approx([2.1, 2.1])


def test_the_last_volume_is_that_of_the_front_that_best_shows(core: Core) -> None:
    draw = random.Random(5)
    results = [("completed", {"error": draw.random(), "score": draw.random()}) for _ in range(60)]
    ref = written(core, TWO, results)
    answer = read_hypervolume.hypervolume(core, ref)
    front = {best["trial"] for best in read_experiments.best(core, ref)}
    assert front <= set(answer["number"]) and answer["value"] == sorted(answer["value"])


def test_the_volume_begins_at_the_thresholds(core: Core) -> None:
    metrics = (
        {"name": "error", "goal": "minimize", "threshold": 0.5},
        {"name": "score", "goal": "maximize", "threshold": 2.0},
    )
    ref = written(
        core, metrics, [("completed", {"error": e, "score": s}) for e, s in ((0.6, 9.0), (0.3, 4.0), (0.1, 1.0))]
    )
    volume = read_hypervolume.hypervolume(core, ref)
    assert volume["reference"] == {"error": 0.5, "score": 2.0}
    assert volume["number"] == [2] and volume["value"] == pytest.approx([0.2 * 2.0])


def test_volumes_beyond_all_numbers_are_left_out(core: Core) -> None:
    chance = random.Random(1)
    results = [
        ("completed", {"error": chance.uniform(-1.7e308, 1.7e308), "score": chance.uniform(-1.7e308, 1.7e308)})
        for _ in range(20)
    ]
    answer = read_hypervolume.hypervolume(core, written(core, TWO, results))
    assert json.dumps(answer, allow_nan=False)
