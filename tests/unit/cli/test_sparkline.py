from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from orchestune.cli.terminal.render import Paint
from orchestune.cli.terminal.sparkline import best_so_far, curve, curves

if TYPE_CHECKING:
    from orchestune import documents

Goal = Literal["maximize", "minimize"]


def metric(goal: Goal) -> documents.Metric:
    return {"name": "loss", "goal": goal, "take": "last", "threshold": None, "constraint": None, "optimized": True}


def best(*steps: tuple[int, float]) -> documents.BestSoFar:
    places: list[int] = [at for at, _ in steps]
    return {
        "finished": places,
        "number": places,
        "value": [value for _, value in steps],
        "finished_at": [None for _ in steps],
        "seconds": [float(at) for at in places],
        "all_seconds": float(len(steps)),
    }


def drawn(
    series: documents.BestSoFar, finished: int, goal: Goal = "minimize", columns: int = 80, unicode: bool = True
) -> str:
    return best_so_far(series, finished, metric(goal), columns, Paint(False, unicode))


def test_better_is_higher_whichever_way_the_metric_goes() -> None:
    assert drawn(best((1, 1.0), (3, 0.5), (4, 0.0)), 4) == "best so far   ▁▁▅█  loss 1 → 0"
    assert drawn(best((1, 0.0), (3, 0.5), (4, 1.0)), 4, "maximize") == "best so far   ▁▁▅█  loss 0 → 1"


def test_before_the_first_result_there_is_a_gap_and_before_any_nothing() -> None:
    assert drawn(best((3, 0.5)), 4) == "best so far     ██  0.5"
    assert drawn(best(), 4) == ""


def test_it_fits_however_many_trials_there_are_and_ends_with_the_last() -> None:
    line = drawn(best((1, 9.0), (5000, 3.0), (9999, 1.0)), 10_000, columns=50)
    assert len(line) <= 50
    assert line.startswith("best so far   ▁")
    assert "█  loss 9 → 1" in line
    assert len(drawn(best((1, 2.0), (2, 1.0)), 2, columns=10).split("  ")[1].strip()) == 1


def test_a_terminal_without_these_signs_gets_others() -> None:
    assert drawn(best((1, 1.0), (2, 0.0)), 2, unicode=False) == "best so far   .#  loss 1 -> 0"


def test_the_curve_of_a_trial_is_thinned_evenly_and_keeps_both_ends() -> None:
    assert curve([1.0, 2.0, 3.0], 12, Paint(False)) == "▁▅█"
    assert curve([float(n) for n in range(100)], 8, Paint(False)) == "▁▂▃▄▅▆▇█"
    assert curve([2.0, 2.0], 8, Paint(False, False)) == ".."
    assert curve([2.0], 8, Paint(False)) == curve([], 8, Paint(False)) == ""


def test_experiments_have_one_scale_for_values_and_one_for_trials() -> None:
    paint = Paint(False)
    assert curves([[0.9, 0.5, 0.3, 0.1], [0.9, 0.4]], 20, paint) == ["▁▁▅█", "▁▃"]
    assert curves([[0.1, 0.5, 0.7, 0.9], [None, 0.5]], 20, paint) == ["▁▁▄█", " ▁"]
    assert curves([[float(-at) for at in range(400)], [0.0] * 400], 4, paint) == ["▃▄▆█", "▁▁▁▁"]
    assert curves([[float(at) for at in range(400)], [300.0]], 4, paint)[1] == "▆"
    assert curves([[], [None]], 20, paint) == ["", ""]
    assert curves([[0.5]], 20, paint) == ["█"]
