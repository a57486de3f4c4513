"""Experiments driven from this process, on the embedded server, with real workers."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import orchestune
from orchestune.errors import BadInput, NotFound, UsageError
from orchestune.sdk.tuning import NothingCompleted, start
from tests.testbeds.docstrings import run_example
from tests.testbeds.home import Home

pytestmark = pytest.mark.timeout(300)
BOWL: dict[str, Any] = {"parameters": {"x": "0.0..1.0"}, "metrics": {"loss": "minimize"}}


@pytest.fixture(scope="module")
def own_home() -> Iterator[Home]:
    with Home() as home:
        yield home


@pytest.fixture(autouse=True)
def here(own_home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ORCHESTUNE_")]:
        monkeypatch.delenv(name)
    for name, value in own_home.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["Experiment", "tune", "tune_async"])
def test_the_example_of_a_public_name_runs_as_it_stands(name: str) -> None:
    run_example(name)


def test_a_function_of_this_module_runs_in_processes_of_its_own() -> None:
    def process(x: float) -> dict[str, float]:
        return {"loss": x, "pid": os.getpid()}

    metrics = {"loss": "minimize", "pid": "maximize"}
    experiment = orchestune.tune(process, BOWL["parameters"], metrics, budget=4, parallelism=2, engine="random")
    trials = experiment.results()
    assert [trial.state for trial in trials] == ["completed"] * 4
    assert all(trial.metrics["loss"] == trial.parameters["x"] for trial in trials)
    assert len({trial.metrics["pid"] for trial in trials} | {os.getpid()}) == 5
    assert experiment.name == "process"


def test_an_exception_is_a_failed_trial_that_brings_its_traceback() -> None:
    def half(x: int) -> float:
        if x == 1:
            raise ZeroDivisionError("one is too many")
        return x

    experiment = orchestune.tune(half, {"x": [0, 1]}, {"loss": "minimize"}, budget=2, engine="grid")
    failed = next(trial for trial in experiment.results() if trial.state == "failed")
    error = experiment.trial(failed.number).error
    assert error is not None
    assert "exited with code 1" in error and "in half" in error and "ZeroDivisionError: one is too many" in error
    best = experiment.best()
    assert best is not None and best.parameters == {"x": 0} and best.error is None


def test_where_every_trial_fails_tune_raises_with_a_traceback() -> None:
    def broken(x: float) -> float:
        raise KeyError("never")

    with pytest.raises(NothingCompleted, match=r"(?s)no trial of broken-.* completed: .*in broken.*KeyError: 'never'"):
        orchestune.tune(broken, **BOWL, budget=2)


def test_a_function_of_one_argument_gets_all_parameters_and_may_report_itself() -> None:
    def train(given: orchestune.Params) -> None:
        orchestune.report(loss=given["a.b"] + given.c)

    experiment = orchestune.tune(train, {"a.b": [1], "c": [2]}, {"loss": "minimize"}, budget=1)
    best = experiment.best()
    assert best is not None and best.metrics == {"loss": 3.0}


def test_a_function_sees_the_files_and_modules_that_this_process_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Path("data.txt").write_text("7")
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "beside_the_script.py").write_text(
        "def load():\n    return float(open('data.txt').read())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))

    def train(x: float) -> float:
        import beside_the_script  # type: ignore[import-not-found]

        return float(beside_the_script.load())

    best = orchestune.tune(train, **BOWL, budget=1).best()
    assert best is not None and best.metrics == {"loss": 7.0}


def test_a_function_that_cannot_travel_is_refused_before_anything_is_created(own_home: Home) -> None:
    lock = threading.Lock()
    with pytest.raises(UsageError, match="cannot be sent to another process: cannot pickle"):
        orchestune.tune(lambda x: (lock, x)[1], **BOWL, budget=1, name="unsent")
    assert "unsent" not in own_home.run("status").stdout


def test_a_wrong_key_is_named_as_in_a_file() -> None:
    with pytest.raises(BadInput, match=r"^parameters\.x: .*\n?") as caught:
        orchestune.tune(lambda x: x, {"x": "1..0"}, {"loss": "minimize"}, budget=1)
    assert "experiment:" not in caught.value.message
    with pytest.raises(UsageError, match=r"tune\(\) decides run itself"):
        orchestune.tune(lambda x: x, **BOWL, budget=1, run="true")


def test_an_experiment_is_found_again_and_stopped() -> None:
    run = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
    made = orchestune.Experiment.create(run=run, **BOWL, budget=2, grace="1s")
    with pytest.raises(TimeoutError, match=r"is .* after 0 s"):
        made.wait(timeout=0)
    found = orchestune.Experiment.load(made.handle)
    assert found.id == made.id
    assert found.stop().wait(120).state == "stopped"
    assert found.best() is None
    with pytest.raises(NotFound):
        orchestune.Experiment.load("nobody-0000")


def test_the_trials_are_a_data_frame() -> None:
    experiment = orchestune.tune(lambda x: x, **BOWL, budget=3, engine="random")
    frame = experiment.trials()
    assert list(frame.index) == [1, 2, 3]
    assert list(frame["metrics.loss"]) == list(frame["params.x"])
    assert set(frame["state"]) == {"completed"}


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = orchestune.tune(lambda x: x, **BOWL, budget=1)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pandas is not installed"):
        experiment.trials()


def test_a_notebook_shows_how_far_it_is() -> None:
    html = orchestune.tune(lambda x: x, **BOWL, budget=2, name="a&b")._repr_html_()
    assert "2 of 2 trials" in html and "<progress" in html and "best: trial" in html


def test_a_cancelled_task_stops_its_experiment(own_home: Home) -> None:
    def sleep(x: float) -> float:
        import time

        time.sleep(3600)
        return x

    async def cancelled() -> None:
        task = asyncio.create_task(orchestune.tune_async(sleep, **BOWL, budget=1, name="cancelled", grace="1s"))
        while "cancelled" not in await asyncio.to_thread(lambda: own_home.run("status").stdout):
            await asyncio.sleep(0.1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    [status] = [status for status in own_home.json("status") if status["name"] == "cancelled"]
    assert status["desired"] == "stopped"


def test_a_script_that_asks_to_stop_ends_in_order_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    Path("train.py").write_text(
        "import orchestune, time\n"
        "print('up', flush=True)\n"
        "while not orchestune.should_stop():\n"
        "    time.sleep(0.02)\n"
        "print('ended in order')\n"
    )
    experiment = orchestune.Experiment.create(run=[sys.executable, "train.py"], **BOWL, budget=1)
    while not any("up" in chunk["text"] for chunk in experiment._client.logs(experiment.id)):
        pass
    experiment.stop().wait(120)
    assert "ended in order" in "".join(chunk["text"] for chunk in experiment._client.logs(experiment.id))


def test_starting_does_not_wait_for_the_end() -> None:
    experiment = start(lambda x: x, **BOWL, budget=2)
    assert experiment.wait(120).state == "completed"
