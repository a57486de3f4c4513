"""Figures of real experiments, through the API, as figures of the real Plotly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.errors import UsageError
from orchestune.sdk.axes import SpaceAxis
from orchestune.sdk.plots import Plots
from tests.contract.world import CoreWorld
from tests.unit.server.harness import live

SPACE = [
    {"name": "lr", "type": "float", "min": 1e-5, "max": 0.1, "log": True},
    {"name": "kind", "type": "categorical", "choices": ["a", "b"]},
    {"name": "depth", "type": "int", "min": 1, "max": 9, "when": {"kind": ["a"]}},
]
METRICS = [{"name": "loss", "goal": "minimize"}, {"name": "latency", "goal": "minimize"}]


@pytest.fixture
def client(world: CoreWorld) -> Iterator[Client]:
    with live(world.core) as server:
        new_client = Client.connect(lambda: ServerAccess(f"http://127.0.0.1:{server.port}", "secret-token"))
        yield new_client
        new_client.close()


def run(world: CoreWorld, trials: int = 8, **changes: Any) -> str:
    """An experiment of so many trials, the second of which failed."""
    experiment = world.create(budget=trials, **{"parameters": SPACE, "metrics": METRICS, **changes})
    for number in range(1, trials + 1):
        [(worker, lease)] = world.lease()
        loss = 1 / number
        points = [[step, "loss", loss + 1 - step / 3, step, None] for step in range(3)]
        points += [[3, "loss", loss, 3, None], [4, "latency", float(number), None, None]]
        failed = {"state": "failed", "exit_code": 1, "points": []} if number == 2 else {}
        worker.call(finished=[worker.finish(lease, loss, **{"points": points, **failed})])
    return experiment


def plots(client: Client, experiment: str) -> Plots:
    return Plots(client, threading.Lock(), experiment)


def test_history_shows_each_trial_and_the_best_so_far(world: CoreWorld, client: Client) -> None:
    figure = plots(client, run(world)).history()
    trials, failed, best = figure.data
    assert list(trials.x) == [1, 3, 4, 5, 6, 7, 8]
    assert (list(failed.x), failed.name) == ([2], "failed") and failed.y[0] < min(trials.y)
    assert trials.y[1] == pytest.approx(1 / 3, rel=1e-5)
    assert (best.x[0], best.x[-1], best.y[-1]) == (1, 8, pytest.approx(1 / 8))
    assert figure.layout.yaxis.title.text == "loss"
    other = plots(client, "test").history("latency")
    assert [trace.name for trace in other.data] == ["completed", "failed", "best so far"]
    assert set(other.data[-1].y) == {1.0}


def test_the_best_so_far_keeps_the_limits(world: CoreWorld, client: Client) -> None:
    limited = {"name": "latency", "goal": "minimize", "optimized": False, "constraint": "<= 5"}
    experiment = run(world, metrics=[METRICS[0], limited])
    best = plots(client, experiment).history().data[-1]
    assert (best.x[-2], best.y[-1]) == (5, pytest.approx(1 / 5))
    assert [each["trial"] for each in world.status(experiment)["best"]] == [5]


def test_importance_has_every_parameter_the_most_important_on_top(world: CoreWorld, client: Client) -> None:
    experiment = world.create(budget=14, parameters=SPACE, metrics=METRICS[:1])
    for _ in range(14):
        [(worker, lease)] = world.lease()
        worker.call(finished=[worker.finish(lease, lease["parameters"]["lr"])])
    (bars,) = plots(client, experiment).importance().data
    assert {*bars.y} == {"lr", "kind", "depth"}
    assert list(bars.x) == sorted(bars.x)


def test_a_figure_without_weights_says_that_none_can_be_told(world: CoreWorld, client: Client) -> None:
    figure = plots(client, run(world, trials=14)).importance()
    assert figure.layout.title.text == "Importance for loss is unknown from 13 completed trials"


def test_points_tell_by_their_sign_how_a_trial_ended_as_on_the_pages(world: CoreWorld, client: Client) -> None:
    figure = plots(client, run(world)).history()
    assert [trace.marker.symbol for trace in figure.data[:2]] == ["circle", "x-thin-open"]
    assert len({trace.marker.color for trace in figure.data[:2]}) == 2


def test_axes_are_as_wide_as_the_space_and_keep_the_order_of_its_words(world: CoreWorld, client: Client) -> None:
    layout = plots(client, run(world)).slice(["lr", "kind"]).layout
    assert (-5.2 < layout.xaxis.range[0] < -5) and (-1 < layout.xaxis.range[1] < -0.8)
    assert list(layout.xaxis2.categoryarray) == ["a", "b"]
    by_name = {each.label: each for each in plots(client, "test").parallel(["lr", "kind"]).data[0].dimensions}
    assert list(by_name["lr"].range) == [-5, -1] and list(by_name["kind"].range) == [0, 1]


def test_parallel_coordinates_know_logarithms_words_and_what_does_not_apply(world: CoreWorld, client: Client) -> None:
    experiment = run(world)
    (lines,) = plots(client, experiment).parallel().data
    by_name = {dimension.label: dimension for dimension in lines.dimensions}
    completed = [trial for trial in world.trials(experiment) if trial["state"] == "completed"]
    assert {*by_name} == {"lr", "kind", "depth", "loss"}
    assert len(by_name["lr"].values) == len(completed) == 7
    assert all(-5 <= value <= -1 for value in by_name["lr"].values)
    assert [["a", "b"][int(value)] for value in by_name["kind"].values] == [
        trial["parameters"]["kind"] for trial in completed
    ]
    absent = [value for value in by_name["depth"].values if value < 1]
    assert len(absent) == sum("depth" not in trial["parameters"] for trial in completed)


def test_slices_and_contours_have_the_axes_of_their_parameters(world: CoreWorld, client: Client) -> None:
    experiment = run(world)
    figure = plots(client, experiment).slice(["lr", "kind"])
    assert (figure.layout.xaxis.type, figure.layout.xaxis2.type) == ("log", "category")
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    assert len(plots(client, experiment).slice().data) == 3
    drawn = plots(client, experiment).contour("lr", "kind")
    lines, points = drawn.data
    assert (drawn.layout.xaxis.type, drawn.layout.yaxis.type, drawn.layout.xaxis.title.text) == (
        "log",
        "category",
        "lr",
    )
    assert len(points.x) == 7
    assert (len(lines.x), list(lines.y)) == (len(lines.z[0]), ["a", "b"])
    assert drawn.layout.title.text == "lr and kind, the mean of 7 trials"
    values = [value for row in lines.z for value in row if value is not None]
    assert values and all(1 / 8 <= value <= 1 for value in values)
    chosen = plots(client, experiment).contour("depth").layout
    assert chosen.xaxis.title.text == "depth"
    assert chosen.yaxis.title.text in ("lr", "kind")


def test_the_front_is_drawn_apart(world: CoreWorld, client: Client) -> None:
    experiment = run(world)
    figure = plots(client, experiment).pareto()
    others, front = figure.data
    assert figure.layout.xaxis.title.text == "loss (minimize)" and front.mode == "lines+markers"
    best = {entry["trial"] for entry in world.status(experiment)["best"]}
    assert {int(text.split()[1]) for text in front.text} == best
    assert len(others.x) + len(front.x) == 7


def test_the_hypervolume_grows_trial_by_trial(world: CoreWorld, client: Client) -> None:
    (line,) = plots(client, run(world)).hypervolume().data
    assert line.x[-1] == 8
    assert list(line.y) == sorted(line.y) and len(line.y) > 1
    assert {text.split()[0] for text in line.text} == {"trial"}


def test_curves_are_those_that_trials_reported_and_the_best_lies_above(world: CoreWorld, client: Client) -> None:
    figure = plots(client, run(world, metrics=METRICS[:1])).curves()
    assert len(figure.data) == 7
    assert (figure.data[-1].name, figure.data[-1].text) == ("best", "trial 8")
    assert list(figure.data[-1].x) == [0, 1, 2, 3]


def test_the_timeline_has_a_row_for_each_worker_and_a_colour_for_each_end(world: CoreWorld, client: Client) -> None:
    figure = plots(client, run(world)).timeline()
    assert {trace.name for trace in figure.data} == {"failed", "succeeded"}
    assert sum(len(trace.x) for trace in figure.data) == 8
    assert figure.layout.xaxis.type == "date"
    assert all(length > 0 for trace in figure.data for length in trace.x)


def test_every_figure_of_an_experiment_without_a_trial_is_empty_and_no_error(world: CoreWorld, client: Client) -> None:
    figures = plots(client, world.create(parameters=SPACE, metrics=METRICS))
    for name in (
        "history",
        "importance",
        "parallel",
        "slice",
        "contour",
        "pareto",
        "hypervolume",
        "curves",
        "timeline",
    ):
        getattr(figures, name)().to_json()


def test_where_not_all_trials_are_drawn_the_title_says_so(
    world: CoreWorld, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestune.sdk.plots._MAX_POINTS", 10)
    figures = plots(client, run(world, trials=14, metrics=METRICS[:1]))
    assert figures.history().layout.title.text == "History: 10 of 14 trials"


def test_a_name_that_is_not_there_is_told_with_those_that_are(world: CoreWorld, client: Client) -> None:
    figures = plots(client, run(world, trials=2, metrics=METRICS[:1], parameters=SPACE[:1]))
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: figures.history("acuracy"), "'acuracy'"),
        (lambda: figures.slice(["l"]), "'l'"),
        (figures.pareto, "a Pareto plot needs two metrics"),
        (figures.hypervolume, "optimizes only loss"),
        (figures.contour, "a contour plot needs two parameters"),
    ]
    for call, message in calls:
        with pytest.raises(UsageError, match=message):
            call()


def test_a_logarithmic_axis_within_one_power_of_ten_names_its_ends() -> None:
    dimension = SpaceAxis("x", "log").dimension([2.0, 4.0, None])
    assert dimension["ticktext"] == ["2", "4", "–"]
    assert SpaceAxis("x", "log").dimension([1.0, 1000.0])["ticktext"] == ["1", "10", "100", "1000"]
    assert SpaceAxis("c", "category", (1, 2)).dimension([2, 3, None])["values"] == [1, 2, -1]


def test_one_and_true_have_places_of_their_own() -> None:
    dimension = SpaceAxis("a", "category", (1, True, 0)).dimension([True, 1, 0, False])
    assert (dimension["values"], dimension["ticktext"]) == ([1.0, 0.0, 2.0, 3.0], ["1", "True", "0", "False"])
