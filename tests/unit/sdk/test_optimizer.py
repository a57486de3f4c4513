from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestune import Optimizer
from orchestune.errors import BadInput, Conflict, SpaceExhausted
from orchestune.sdk.optimizer import Suggestion

PARAMETERS: dict[str, Any] = {
    "model": ["linear", "net"],
    "lr": "1e-5..0.1 log",
    "layers": {"type": "int", "min": 1, "max": 8, "when": {"model": "net"}},
}
METRICS = {"loss": "minimize"}


def loss(suggestion: Suggestion) -> dict[str, float]:
    distance = (math.log10(float(suggestion.parameters["lr"])) + 3) ** 2
    return {"loss": distance + (0.0 if suggestion.parameters["model"] == "net" else 1.0)}


def run(optimizer: Optimizer, count: int) -> list[Suggestion]:
    suggestions = []
    for _ in range(count):
        suggestions.append(optimizer.ask())
        optimizer.tell(suggestions[-1], loss(suggestions[-1]))
    return suggestions


def test_a_search_finds_a_good_configuration_and_suggests_active_parameters_only() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, seed=1)
    suggestions = run(optimizer, 30)
    assert all(("layers" in s.parameters) == (s.parameters["model"] == "net") for s in suggestions)
    assert {s.source for s in suggestions} == {"sobol", "gp", "tpe"}
    best = optimizer.best()
    assert best is not None
    assert best.parameters["model"] == "net"
    assert best.metrics["loss"] < 0.01


def test_a_seed_gives_the_same_suggestions_and_none_gives_others() -> None:
    first, second = (run(Optimizer(PARAMETERS, METRICS, seed=4), 14) for _ in range(2))
    assert first == second
    assert run(Optimizer(PARAMETERS, METRICS), 3) != run(Optimizer(PARAMETERS, METRICS), 3)


def test_a_search_that_was_written_down_goes_on_as_it_would_have() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, seed=4, parallelism=3)
    run(optimizer, 15)
    waiting = [optimizer.ask(), optimizer.ask()]
    copy = Optimizer.from_json(json.loads(json.dumps(optimizer.to_json())))
    assert copy.best() == optimizer.best()
    for suggestion in waiting:
        optimizer.tell(suggestion, {"loss": 0.5}, stddev={"loss": 0.1})
        copy.tell(suggestion, {"loss": 0.5}, stddev={"loss": 0.1})
    assert run(copy, 4) == run(optimizer, 4)


def written_and_read(optimizer: Optimizer) -> Optimizer:
    return Optimizer.from_json(json.loads(json.dumps(optimizer.to_json())))


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda optimizer: pickle.loads(pickle.dumps(optimizer)), written_and_read]
)
def test_a_copy_goes_on_as_the_original_would_have(copied: Callable[[Optimizer], Optimizer]) -> None:
    rows = [{"lr": 0.01, "model": "linear", "loss": 1.0}, {"lr": 7, "loss": 0}]
    optimizer = Optimizer(PARAMETERS, METRICS, seed=4, parallelism=2, warm_start=rows)
    run(optimizer, 11)
    waiting = optimizer.ask()
    duplicate = copied(optimizer)
    assert duplicate.to_json() == optimizer.to_json()
    assert duplicate.notes == optimizer.notes != ()
    duplicate.tell(pickle.loads(pickle.dumps(waiting)), {"loss": 0.5})
    optimizer.tell(Suggestion(*optimizer.to_json()["open"][0]), {"loss": 0.5})
    assert run(duplicate, 4) == run(optimizer, 4)


def test_what_becomes_of_the_parameters_in_a_training_changes_nothing_of_the_search() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, seed=1, parallelism=2)
    suggestion, other = optimizer.ask(), optimizer.ask()
    before = dict(suggestion.parameters)
    parameters: dict[str, Any] = suggestion.parameters
    parameters["epochs"] = parameters.pop("lr")
    with pytest.raises(Conflict):
        optimizer.tell(Suggestion(1, other.parameters, "sobol"), {"loss": 1})
    optimizer.tell(suggestion, {"loss": 1})
    best = optimizer.best()
    assert best is not None and best.parameters == before
    best.parameters.clear()
    best.metrics.clear()  # type: ignore[attr-defined]
    assert optimizer.to_json()["told"] == [[1, before, "completed", {"loss": 1}, {}]]


def test_suggestions_may_be_the_keys_of_a_mapping() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, parallelism=2)
    first, second = optimizer.ask(), optimizer.ask()
    assert {first: 1, second: 2}[pickle.loads(pickle.dumps(first))] == 1


def test_the_same_suggestions_come_from_the_process_of_a_server_s_engines() -> None:
    from orchestune.domain.lifecycle.states import TrialState
    from orchestune.domain.search.trial import Observation, ask_seed
    from orchestune.engines.process.parent import ChildHost, ProcessEngine
    from orchestune.sdk.search_request import read_request

    request = read_request(PARAMETERS, METRICS, "auto")
    host = ChildHost()
    engine = ProcessEngine("auto", request.space, request.metrics, seed=9, options={}, host=host)
    try:
        for suggestion in run(Optimizer(PARAMETERS, METRICS, seed=9), 16):
            number = suggestion.number
            assert engine.ask([], number, ask_seed(9, number)) == suggestion.parameters
            assert engine.source == suggestion.source
            engine.tell([Observation(number, suggestion.parameters, TrialState.COMPLETED, loss(suggestion))])
    finally:
        host.close()


def test_open_suggestions_differ_and_no_more_are_made_than_run_in_parallel() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, seed=1, parallelism=4)
    suggestions = [optimizer.ask() for _ in range(4)]
    assert len({repr(s.parameters) for s in suggestions}) == 4
    with pytest.raises(Conflict, match="4 suggestions are already open: parallelism is 4"):
        optimizer.ask()
    optimizer.tell(suggestions[2], None)
    assert optimizer.ask().number == 5


def test_a_failure_is_no_result() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS)
    optimizer.tell(optimizer.ask(), None)
    optimizer.tell(optimizer.ask(), {"loss": math.nan})
    optimizer.tell(optimizer.ask(), {"loss": 10**400})
    assert optimizer.best() is None


def test_a_suggestion_is_told_once_and_to_the_optimizer_that_made_it() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, engine="random", seed=1)
    suggestion = optimizer.ask()
    other = Optimizer(PARAMETERS, METRICS, engine="random", seed=2)
    other.ask()
    with pytest.raises(Conflict, match="suggestion 1 is not open"):
        other.tell(suggestion, {"loss": 1})
    optimizer.tell(suggestion, {"loss": 1})
    with pytest.raises(Conflict, match="suggestion 1 is not open"):
        optimizer.tell(suggestion, {"loss": 1})


def test_a_missing_metric_is_named_and_leaves_the_suggestion_open() -> None:
    optimizer = Optimizer(PARAMETERS, {"loss": "minimize", "speed": "maximize"})
    suggestion = optimizer.ask()
    with pytest.raises(BadInput, match=r"speed: has no value \(tell None"):
        optimizer.tell(suggestion, {"loss": 1})
    optimizer.tell(suggestion, {"loss": 1, "speed": 2, "other": 3})
    best = optimizer.best()
    assert best is not None
    assert best.metrics == {"loss": 1, "speed": 2, "other": 3}


def test_with_two_metrics_there_is_a_front() -> None:
    optimizer = Optimizer({"x": "0..9"}, {"a": "minimize", "b": "maximize"}, engine="grid", seed=0)
    for _ in range(10):
        suggestion = optimizer.ask()
        x = int(suggestion.parameters["x"])
        optimizer.tell(suggestion, {"a": x, "b": min(x, 3)})
    assert [result.parameters["x"] for result in optimizer.front()] == [0, 1, 2, 3]
    with pytest.raises(SpaceExhausted, match="no configuration to suggest: every point of the grid"):
        optimizer.ask()


def test_a_space_of_one_configuration_says_that_it_was_the_only_one() -> None:
    optimizer = Optimizer({"opt": ["adam"]}, {"loss": "minimize"}, engine="random", seed=0)
    optimizer.tell(optimizer.ask(), {"loss": 1.0})
    with pytest.raises(SpaceExhausted, match="the only configuration has been suggested once"):
        optimizer.ask()


def test_all_mistakes_are_told_at_once_by_their_key() -> None:
    with pytest.raises(BadInput) as caught:
        Optimizer({"lr": "1e-5..", "n": {"type": "int", "min": 3}}, {"loss": "smallest"}, engine="tpee")
    keys = [problem.key for problem in caught.value.problems]
    assert {key.split(".")[0] for key in keys} == {"parameters", "metrics", "engine"}
    assert all(problem.line is None and not problem.file for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": ["a < lr"]}, "constraints.0.: `a < lr`: unknown parameter: .a."),
        ({"constraints": "lr < 0"}, "constraints: no configuration found that satisfies `lr < 0`"),
        ({"seed": -1}, "seed: -1 is not an integer of at least 0"),
        ({"seed": True}, "seed: True is not an integer of at least 0"),
        ({"seed": 0.5}, "seed: 0.5 is not an integer of at least 0"),
        ({"parallelism": 0}, "parallelism: 0 is not an integer of at least 1"),
        ({"engine": {"name": "tpe", "startups": 3}}, "engine.startups: unknown option"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Optimizer(PARAMETERS, METRICS, **options)


def test_what_cannot_be_written_down_is_refused() -> None:
    with pytest.raises(BadInput, match="is not a number, text, boolean, list or mapping"):
        Optimizer({"f": [object()]}, METRICS)


def test_what_cannot_be_written_down_is_named_by_where_it_is() -> None:
    wrong: Any = {"f": [1, object()], "s": {1, 2}, "d": {"min": 0, "max": 1j}, ("a", "b"): "1..9"}
    with pytest.raises(BadInput) as caught:
        Optimizer(wrong, METRICS)
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["parameters.f[1]", "parameters.s", "parameters.d.max", "parameters"]
    assert "name ('a', 'b') is not text" in str(caught.value)
    endless: list[Any] = [1]
    endless.append(endless)
    with pytest.raises(BadInput, match="parameters, metrics or engine: cannot be serialized: Circular"):
        Optimizer({"f": endless}, METRICS)


def test_columns_of_a_warm_start_may_have_names_that_are_no_texts() -> None:
    rows: Any = [{"model": "net", "lr": 1e-3, "layers": 3, "loss": 0.1, ("test", 1): 2, 7: 3}]
    assert Optimizer(PARAMETERS, METRICS, engine="tpe", warm_start=rows).notes == ()


def test_a_tuple_of_two_numbers_is_refused_with_what_it_may_mean() -> None:
    with pytest.raises(BadInput) as caught:
        Optimizer({"n": (0, np.int64(8)), "lr": (1e-5, np.float64(0.1)), "z": "1..a"}, METRICS)
    problems = {problem.key: problem for problem in caught.value.problems}
    assert problems.keys() == {"parameters.n", "parameters.lr", "parameters.z"}
    assert problems["parameters.n"].message == "a tuple of two numbers may be bounds or choices"
    ways = 'write "0..8" for integers, "0.0..8.0" for floats, [0, 8] for two choices'
    assert problems["parameters.n"].hint == ways
    assert problems["parameters.lr"].hint == 'write "1e-5..0.1" for a range, [1e-05, 0.1] for two choices'
    three = Optimizer({"n": (1, 2, 4), "f": ("a", "b"), "b": (True, False), "v": {"values": (1, 2)}}, METRICS)
    assert three.ask().parameters.keys() == {"n", "f", "b", "v"}


def test_numbers_that_are_not_finite_are_no_choices_and_texts_that_are_spelled_like_them_are() -> None:
    with pytest.raises(BadInput) as caught:
        Optimizer({"a": [1.0, math.inf], "b": np.array([math.nan, 2])}, {"loss": "minimize"})
    assert [str(problem) for problem in caught.value.problems] == [
        "parameters.a[1]: found .inf, expected a finite number",
        "parameters.b[0]: found .nan, expected a finite number",
    ]
    texts = ["Infinity", "NaN", 'a "NaN \\']
    suggestion = Optimizer({"a": texts}, {"loss": "minimize"}, seed=0).ask()
    assert suggestion.parameters["a"] in texts


def test_values_of_numpy_and_ranges_are_taken_for_what_they_are() -> None:
    optimizer = Optimizer(
        {"n": {"type": "int", "min": np.int64(2), "max": 3}, "c": range(2), "d": np.arange(2)}, METRICS
    )
    optimizer.tell(optimizer.ask(), {"loss": np.float64(0.5)})
    assert json.dumps(optimizer.to_json())
    drawn = Optimizer(PARAMETERS, METRICS, seed=np.int64(7), parallelism=np.int32(2))  # type: ignore[arg-type]
    assert run(drawn, 3) == run(Optimizer(PARAMETERS, METRICS, seed=7, parallelism=2), 3)
    assert json.dumps(drawn.to_json())


def test_a_document_of_another_version_is_refused() -> None:
    with pytest.raises(BadInput, match="format: found 99, expected 1"):
        Optimizer.from_json({**Optimizer(PARAMETERS, METRICS).to_json(), "format": 99})


def test_threads_share_an_optimizer() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, engine="random", seed=1, parallelism=4)

    def work(_: int) -> None:
        for _ in range(25):
            suggestion = optimizer.ask()
            optimizer.tell(suggestion, loss(suggestion))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(entry[0] for entry in optimizer.to_json()["told"]) == list(range(1, 101))


def test_importing_the_package_loads_no_engine() -> None:
    script = "import sys, orchestune; print(sorted({'numpy', 'scipy', 'optuna', 'orchestune.sdk'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_are_read_by_name_as_in_a_trial() -> None:
    optimizer = Optimizer({"x": "0.0..1.0"}, {"loss": "minimize"})
    suggestion = optimizer.ask()
    optimizer.tell(suggestion, {"loss": 0.5})
    best = optimizer.best()
    assert best is not None
    assert best.parameters.x == suggestion.parameters.x == suggestion.parameters["x"]
    for copied in (pickle.loads(pickle.dumps(best)), copy.deepcopy(best)):
        assert copied == best and copied.parameters.x == best.parameters.x


def test_a_notebook_without_widgets_hears_of_no_bar_that_nobody_shows() -> None:
    script = (
        "import sys, types\n"
        "class Shell: ...\n"
        "sys.modules['IPython'] = types.SimpleNamespace(get_ipython=Shell)\n"
        "sys.modules |= {'ipykernel.zmqshell': types.ModuleType('shell'), 'ipywidgets': None}\n"
        "import orchestune\n"
        "orchestune.Optimizer({'x': ['a', 'b']}, {'loss': 'minimize'})\n"
        "assert 'tqdm.notebook' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_a_warm_start_is_learnt_from_and_never_the_best() -> None:
    rows = [
        {"lr": 10 ** -(1 + index / 10), "model": "net", "layers": 3, "loss": abs(index - 25)} for index in range(40)
    ]
    optimizer = Optimizer({**PARAMETERS, "width": "1..9"}, METRICS, seed=1, warm_start=[*rows, {"lr": 7, "loss": 0}])
    assert optimizer.notes == (
        "the list: 1 of 41 results skipped: outside this space, such as lr = 7",
        "the list: 40 of 41 results have no value of width, and do not inform its search",
    )
    assert optimizer.best() is None
    copy = Optimizer.from_json(json.loads(json.dumps(optimizer.to_json())))
    suggestions = run(optimizer, 8)
    assert run(copy, 8) == suggestions
    assert {suggestion.source for suggestion in suggestions} == {"gp", "tpe"}
    assert sum(abs(math.log10(float(suggestion.parameters["lr"])) + 3.5) < 1 for suggestion in suggestions) >= 6
    best = optimizer.best()
    assert best is not None and best.number > 0


def test_a_warm_start_may_be_a_file_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("lr,model,loss\n0.01,linear,0.5\n0.02,linear,0.25\n")
    table = pd.read_csv(path)
    suggestions = [
        Optimizer(PARAMETERS, METRICS, engine={"name": "tpe", "startup": 2}, seed=3, warm_start=source).ask()
        for source in (path, str(path), table, table.to_dict("records"))
    ]
    assert len(set(map(repr, suggestions))) == 1
    assert suggestions[0].source == "tpe"


def test_times_and_durations_in_a_table_are_no_matter() -> None:
    began = pd.Timestamp("2024-02-01T12:00:00")
    rows: list[dict[str, Any]] = [
        {"lr": 0.01, "model": "linear", "loss": 0.5, "began": began, "duration": pd.Timedelta("3s")},
        {"lr": 0.02, "model": "linear", "loss": 0.25, "began": began.to_pydatetime(), "duration": pd.NaT},
    ]
    plain = [{name: row[name] for name in ("lr", "model", "loss")} for row in rows]
    suggestions = [
        Optimizer(PARAMETERS, METRICS, engine={"name": "tpe", "startup": 2}, seed=3, warm_start=source).ask()
        for source in (plain, rows, pd.DataFrame(rows))
    ]
    assert len(set(map(repr, suggestions))) == 1
    assert suggestions[0].source == "tpe"


@pytest.mark.parametrize("engine", ["random", {"name": "latin", "size": 4}])
def test_an_engine_that_learns_nothing_says_so_of_a_warm_start(engine: Any) -> None:
    rows = [{"lr": 0.01, "model": "linear", "loss": 1}, {"lr": 9, "model": "linear", "loss": 1}]
    optimizer = Optimizer(PARAMETERS, METRICS, engine=engine, warm_start=rows)
    assert optimizer.notes == (
        "the list: 1 of 2 results skipped: outside this space, such as lr = 9",
        "warm_start: has no effect: this engine does not use results",
    )
    assert Optimizer(PARAMETERS, METRICS, engine=engine).notes == ()


@pytest.mark.parametrize("source", [7, [1], "gone.csv", "sgd-7f3a", [], [{"lr": 7, "loss": 1}]])
def test_a_warm_start_that_is_none_is_refused(source: Any) -> None:
    with pytest.raises(BadInput, match=r"^warm_start: "):
        Optimizer(PARAMETERS, METRICS, warm_start=source)


def test_constraints_hold_for_every_suggestion_and_survive_being_written_down() -> None:
    texts = ["layers >= 4 or lr > 0.01", "lr < 0.05"]
    optimizer = Optimizer(PARAMETERS, METRICS, constraints=texts, seed=2)
    suggestions = run(optimizer, 14)
    copy = Optimizer.from_json(json.loads(json.dumps(optimizer.to_json())))
    rest = run(optimizer, 3)
    assert run(copy, 3) == rest
    for suggestion in (*suggestions, *rest):
        lr = float(suggestion.parameters["lr"])
        assert lr < 0.05
        assert int(suggestion.parameters.get("layers", 4)) >= 4 or lr > 0.01


def test_of_noisy_results_the_best_is_the_one_that_a_model_expects_most_of() -> None:
    optimizer = Optimizer({"x": "0.0..1.0"}, {"loss": "minimize"}, seed=3, engine="sobol")
    for number in range(40):
        suggestion = optimizer.ask()
        x = float(suggestion.parameters["x"])
        lucky = number == 20
        value = -0.7 if lucky else 4 * (x - 0.5) ** 2 + 0.2 * math.sin(50 * number)
        optimizer.tell(suggestion, {"loss": value}, stddev={"loss": 0.2})
    best = optimizer.best()
    assert best is not None and best.expected is not None
    assert best.number != 21 and abs(float(best.parameters["x"]) - 0.5) < 0.3
    assert 0 < (best.expected.stddev or 0) < 0.2
    again = Optimizer.from_json(json.loads(json.dumps(optimizer.to_json())))
    assert again.best() == best


def test_a_front_of_one_lucky_result_is_not_taken_as_it_is() -> None:
    """Both losses are bowls; one result far from both was lucky in both and beats everything as reported."""
    optimizer = Optimizer({"x": "0.0..1.0"}, {"a": "minimize", "b": "minimize"}, seed=3, engine="sobol")
    lucky = -1
    for _ in range(40):
        suggestion = optimizer.ask()
        x, chance = float(suggestion.parameters["x"]), 0.1 * math.sin(50 * suggestion.number)
        losses = {name: 4 * (x - at) ** 2 + chance for name, at in (("a", 0.4), ("b", 0.6))}
        if lucky < 0 and x > 0.9:
            lucky, losses = suggestion.number, dict.fromkeys(losses, -1.0)
        optimizer.tell(suggestion, losses, stddev=dict.fromkeys(losses, 0.3))
    front = optimizer.front()
    assert len(front) > 1 and lucky > 0
    assert all(0.25 < float(result.parameters["x"]) < 0.75 for result in front)
    assert optimizer.best() == front[0]


def test_a_metric_that_is_no_number_is_told_and_the_suggestion_stays_open() -> None:
    optimizer = Optimizer({"x": "0..3"}, {"y": "minimize"})
    suggestion = optimizer.ask()
    with pytest.raises(BadInput, match="y: must be a number, got str: 'a'"):
        optimizer.tell(suggestion, {"y": "a"})  # type: ignore[dict-item]
    optimizer.tell(suggestion, {"y": 1.0})


@pytest.mark.parametrize(
    ("metrics", "stddev", "message"),
    [
        (0.5, None, "metrics: must be given by name"),
        ({"loss": 0.5}, 0.1, "stddev: must be given by name"),
        ({"loss": 0.5}, {"los": 0.1}, r"stddev\.los: standard deviation without a metric"),
        ({"loss": 0.5}, {"loss": -0.1}, r"stddev\.loss: must not be negative, got -0\.1"),
    ],
)
def test_a_result_that_is_none_is_told_and_the_suggestion_stays_open(metrics: Any, stddev: Any, message: str) -> None:
    optimizer = Optimizer(PARAMETERS, METRICS)
    suggestion = optimizer.ask()
    with pytest.raises(BadInput, match=message):
        optimizer.tell(suggestion, metrics, stddev=stddev)
    with pytest.raises(BadInput, match="suggestion: expected a suggestion of ask"):
        optimizer.tell(dict(suggestion.parameters), {"loss": 0.5})  # type: ignore[arg-type]
    optimizer.tell(suggestion, {"loss": 0.5})


def test_a_spread_that_is_not_finite_is_not_known() -> None:
    optimizer = Optimizer(PARAMETERS, METRICS)
    optimizer.tell(optimizer.ask(), {"loss": 0.5}, stddev={"loss": math.nan})
    best = Optimizer.from_json(json.loads(json.dumps(optimizer.to_json(), allow_nan=False))).best()
    assert best is not None and best.stddev == {}


def test_a_text_is_no_document() -> None:
    with pytest.raises(BadInput, match="must be a mapping, got str"):
        Optimizer.from_json(json.dumps(Optimizer(PARAMETERS, METRICS).to_json()))  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["parameters", "metrics", "seed", "asked", "open", "told"])
def test_a_state_of_which_something_is_missing_is_refused_in_words(missing: str) -> None:
    document = Optimizer(PARAMETERS, METRICS).to_json()
    del document[missing]
    with pytest.raises(BadInput):
        Optimizer.from_json(document)
    with pytest.raises(BadInput):
        Optimizer.from_json({**document, missing: 3.5, "told": [[]]})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("asked", "x", "'x' is not an integer of at least 4"),
        ("asked", 3, "3 is not an integer of at least 4"),
        ("parallelism", None, "None is not an integer of at least 1"),
        ("parallelism", 0, "0 is not an integer of at least 1"),
        ("seed", None, "None is not an integer of at least 0"),
        ("parameters", [], "found none, expected at least one"),
    ],
)
def test_of_a_damaged_state_the_key_is_named(key: str, value: Any, message: str) -> None:
    optimizer = Optimizer(PARAMETERS, METRICS, engine="random")
    run(optimizer, 3)
    optimizer.ask()
    with pytest.raises(BadInput, match=f"^{key}: {message}$"):
        Optimizer.from_json({**optimizer.to_json(), key: value})


def test_a_range_that_is_probably_meant_as_decimals_is_pointed_out() -> None:
    with pytest.warns(
        UserWarning, match=r"parameters\.x: takes 0 or 1; for a number between them write 0\.0\.\.1\.0"
    ) as warnings_caught:
        Optimizer({"x": "0..1", "y": "0.0..1.0"}, {"loss": "minimize"})
    assert [warning.filename for warning in warnings_caught] == [__file__]
