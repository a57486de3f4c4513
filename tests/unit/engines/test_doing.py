from __future__ import annotations

import pytest

from orchestune.domain.search.engines import NAMES
from orchestune.domain.specification.metrics import Limit, Metric
from orchestune.engines.descriptions import doing

LOSS, SIZE = Metric("loss", "minimize"), Metric("size", "minimize")
WITHIN = Metric("time", "minimize", limit=Limit(1.0, False), optimized=False)


@pytest.mark.parametrize(
    ("name", "metrics", "options", "results", "line"),
    [
        ("auto", [LOSS], {}, 7, "a Sobol sequence, until 8 results are known (now 7)"),
        ("cma", [LOSS], {}, 7, "a Sobol sequence, until 8 results are known (now 7)"),
        ("auto", [LOSS, WITHIN], {}, 34, "a Gaussian process and TPE in turns on 34 results"),
        (
            "auto",
            [LOSS, SIZE],
            {},
            34,
            "a Gaussian process and TPE in turns on 34 results, towards one part of the front after the other",
        ),
        ("tpe", [LOSS], {"startup": 40}, 34, "random draws, until 40 results are known (now 34)"),
        ("gp", [LOSS], {"startup": 5}, 5, "a Gaussian process on 5 results"),
        ("grid", [LOSS], {}, 5, "every configuration in order"),
        ("swarm", [LOSS], {}, 1, "a particle swarm, which begins with a Sobol sequence, on 1 result"),
    ],
)
def test_an_engine_says_what_it_does(
    name: str, metrics: list[Metric], options: dict[str, int], results: int, line: str
) -> None:
    assert doing(name, metrics, options, results) == line


@pytest.mark.parametrize(("running", "startup"), [(1, 7), (3, 5), (15, 4)])
def test_trials_that_run_count_for_the_start_of_a_model(running: int, startup: int) -> None:
    assert doing("auto", [LOSS], {}, 3, running) == f"a Sobol sequence, until {startup} results are known (now 3)"
    assert doing("auto", [LOSS], {}, startup, running).startswith("a Gaussian process and TPE")


@pytest.mark.parametrize(
    ("name", "results", "pruned", "line"),
    [
        ("tpe", 0, 12, "random draws, until 8 results are known (now 12)"),
        ("tpe", 3, 4, "random draws, until 8 results are known (now 7)"),
        ("tpe", 3, 5, "TPE on 3 results and 5 pruned trials"),
        ("auto", 3, 4, "a Sobol sequence, until 8 results are known (now 3)"),
        (
            "auto",
            7,
            1,
            "TPE on 7 results and 1 pruned trial and a Sobol sequence in turns, until 8 results are known (now 7)",
        ),
        ("auto", 8, 30, "a Gaussian process and TPE in turns on 8 results"),
        ("gp", 3, 7, "a Sobol sequence, until 8 results are known (now 3)"),
    ],
)
def test_pruned_trials_count_where_they_are_learnt_from(name: str, results: int, pruned: int, line: str) -> None:
    assert doing(name, [LOSS], {}, results, pruned=pruned) == line


@pytest.mark.parametrize(
    ("name", "results", "failed", "line"),
    [
        ("auto", 3, 4, "a Sobol sequence, until 8 results are known (now 3)"),
        ("auto", 3, 5, "a Gaussian process on 3 results and 5 failed trials, until TPE has 8 results"),
        ("auto", 8, 5, "a Gaussian process and TPE in turns on 8 results"),
        ("gp", 0, 20, "a Sobol sequence, until 8 results are known (now 0)"),
        ("gp", 1, 7, "a Gaussian process on 1 result"),
        ("tpe", 3, 5, "random draws, until 8 results are known (now 3)"),
        ("cma", 3, 5, "a Sobol sequence, until 8 results are known (now 3)"),
    ],
)
def test_failed_trials_count_where_a_process_learns_from_them(name: str, results: int, failed: int, line: str) -> None:
    assert doing(name, [LOSS], {}, results, failed=failed) == line


def test_a_search_that_looks_elsewhere_says_so() -> None:
    line = doing("auto", [LOSS], {}, 200, 15, {"gp", "tpe", "gp-elsewhere"})
    assert "on 200 results, every fourth time elsewhere, since nothing better was found" in line
    assert "elsewhere" not in doing("auto", [LOSS], {}, 200, 15, {"gp", "tpe"})


def test_every_engine_has_a_line() -> None:
    assert all(doing(name, [LOSS], {}, 50) for name in NAMES)
