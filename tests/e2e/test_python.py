"""Experiments driven from this process, on the embedded server, with real workers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import orchestune
from orchestune.errors import BadInput, Conflict, NotFound, NothingCompleted, UsageError
from orchestune.sdk.plots import Plots
from orchestune.sdk.tuning import start
from tests.testbeds.docstrings import run_example, run_examples
from tests.testbeds.home import Home
from tests.testbeds.waiting import until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("at_home")]
BOWL: dict[str, Any] = {"parameters": {"x": "0.0..1.0"}, "metrics": {"loss": "minimize"}}


def log_of(experiment: orchestune.Experiment) -> str:
    return "".join(chunk["text"] for chunk in experiment._client.logs(experiment.id))


@pytest.mark.parametrize("name", ["Experiment", "OpenTrial", "Trial", "tune", "tune_async"])
def test_the_example_of_a_public_name_and_those_of_its_methods_run_as_they_stand(name: str) -> None:
    run_example(name)


def test_the_example_of_each_figure_runs_as_it_stands() -> None:
    run_examples("experiment.plot", Plots, {"__name__": "__main__", "orchestune": orchestune})


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
    error = failed.error
    assert error is not None and error == experiment.trial(failed.number).error
    assert error in set(experiment.trials()["error"])
    assert f'File "{__file__}", line' in error and '    raise ZeroDivisionError("one is too many")' in error
    assert "exited with code 1" in error and "in half" in error and "ZeroDivisionError: one is too many" in error
    best = experiment.best()
    assert best is not None and best.parameters == {"x": 0} and best.error is None


def test_where_every_trial_fails_tune_raises_with_a_traceback() -> None:
    def broken(x: float) -> float:
        raise KeyError("never")

    with pytest.raises(NothingCompleted, match=r"(?s)no trial of broken-.* completed: .*in broken.*KeyError: 'never'"):
        orchestune.tune(broken, **BOWL, budget=2)


def test_a_function_that_returns_nothing_is_told_to() -> None:
    with pytest.raises(NothingCompleted, match=r"function returned nothing and never reported .*; return a number"):
        orchestune.tune(lambda x: None, **BOWL, budget=2)


def test_a_function_of_one_argument_gets_all_parameters_and_may_report_itself() -> None:
    def train(parameters: orchestune.Params) -> None:
        orchestune.report(loss=parameters["a.b"] + parameters.c)

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


def test_a_function_that_cannot_travel_is_refused_before_anything_is_created(shared_home: Home) -> None:
    lock = threading.Lock()
    with pytest.raises(UsageError, match="cannot be sent to another process: cannot pickle"):
        orchestune.tune(lambda x: (lock, x)[1], **BOWL, budget=1, name="unsent")
    assert "unsent" not in shared_home.run("status").stdout


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("train", "'train' is not a function"),
        (lambda: 1, r"the function takes \(\), but the parameters are x"),
        (lambda a, b: 1, r"the function takes \(a, b\)"),
        (asyncio.sleep, "the function is asynchronous"),
    ],
)
def test_what_cannot_be_called_with_the_parameters_is_refused_before_anything_is_created(
    function: Any, message: str, shared_home: Home
) -> None:
    with pytest.raises(UsageError, match=message):
        orchestune.tune(function, **BOWL, budget=1, name="uncalled")
    assert "uncalled" not in shared_home.run("status").stdout


def test_a_wrong_key_is_named_as_in_a_file() -> None:
    with pytest.raises(BadInput, match=r"^parameters\.x: .*\n?") as caught:
        orchestune.tune(lambda x: x, {"x": "1..0"}, {"loss": "minimize"}, budget=1)
    assert "experiment:" not in caught.value.message
    with pytest.raises(UsageError, match=r"tune\(\) sets run itself"):
        orchestune.tune(lambda x: x, **BOWL, budget=1, run="true")


@pytest.mark.parametrize("handle", ["", "sgd-7f3a/3", None])
def test_what_is_no_handle_is_told(handle: Any) -> None:
    with pytest.raises(UsageError, match="is not the handle of an experiment"):
        orchestune.Experiment.load(handle)


def test_a_timeout_within_an_event_loop_says_what_was_waited_for() -> None:
    async def wait() -> None:
        experiment = await orchestune.Experiment.create_async(**BOWL, budget=1)
        with pytest.raises(TimeoutError, match=r"is .* after 0 s"):
            await experiment.wait_async(timeout=0)
        trial = await experiment.ask_async()
        assert trial is not None
        with pytest.raises(TimeoutError, match="has offered no trial for 0 s"):
            await experiment.ask_async(timeout=0)
        trial.tell({"loss": 1.0})
        assert (await experiment.wait_async()).state == "completed"

    asyncio.run(wait())


def test_an_experiment_is_found_again_and_stopped() -> None:
    run = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(3600)"]
    experiment = orchestune.Experiment.create(run=run, **BOWL, budget=2, grace="1s")
    with pytest.raises(TimeoutError, match=r"is .* after 0 s"):
        experiment.wait(timeout=0)
    same_experiment = orchestune.Experiment.load(experiment.handle)
    assert same_experiment.id == experiment.id
    assert same_experiment.stop().wait(120).state == "stopped"
    assert same_experiment.best() is None
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


def test_a_cancelled_task_stops_its_experiment(shared_home: Home) -> None:
    def sleep(x: float) -> float:

        time.sleep(3600)
        return x

    async def cancelled() -> None:
        task = asyncio.create_task(orchestune.tune_async(sleep, **BOWL, budget=1, name="cancelled", grace="1s"))
        while "cancelled" not in await asyncio.to_thread(lambda: shared_home.look("status")):
            await asyncio.sleep(0.1)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    [status] = [status for status in shared_home.json("status") if status["name"] == "cancelled"]
    assert status["desired"] == "stopped"


def test_a_script_that_asks_to_stop_ends_in_order() -> None:
    Path("train.py").write_text(
        "import orchestune, time\n"
        "orchestune.should_stop()\n"
        "print('up', flush=True)\n"
        "while not orchestune.should_stop():\n"
        "    time.sleep(0.02)\n"
        "print('ended in order')\n"
    )
    experiment = orchestune.Experiment.create(run=[sys.executable, "train.py"], **BOWL, budget=1)
    until("its start", lambda: "up" in log_of(experiment))
    experiment.stop().wait(120)
    until("its end", lambda: "ended in order" in log_of(experiment))


def test_what_is_kept_or_read_is_each_trials_own() -> None:
    Path(".gitignore").write_text("*.pt\n*.csv\n")
    for name in ("best.pt", "history.csv"):
        Path(name).write_text("by hand")
    run = "printf 'loss\\n0.5\\n' > history.csv; cp history.csv best.pt"
    keys: dict[str, Any] = {"keep": ["best.pt"], "collect": {"csv": "history.csv"}}
    experiment = orchestune.Experiment.create(run=run, **BOWL, **keys, budget=1)
    assert experiment.wait(120).state == "completed"
    assert [Path(name).read_text() for name in ("best.pt", "history.csv")] == ["by hand", "by hand"]


def test_starting_does_not_wait_for_the_end() -> None:
    experiment = start(lambda x: x, **BOWL, budget=2)
    assert experiment.wait(120).state == "completed"


OPEN: dict[str, Any] = {**BOWL, "engine": "random", "grace": "1s"}


def test_an_exception_within_a_trial_of_a_loop_is_a_failed_trial_and_the_loop_goes_on() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=4, parallelism=2)
    for turn, trial in enumerate(experiment.loop()):
        with trial:
            if turn == 1:
                raise ZeroDivisionError("the second one")
            trial.report(loss=trial.parameters.x, step=1)
            assert not trial.should_stop()
    trials = experiment.results()
    assert sorted(trial.state for trial in trials) == ["completed", "completed", "completed", "failed"]
    failed = next(trial for trial in trials if trial.state == "failed")
    assert "ZeroDivisionError: the second one" in (failed.error or "")
    assert all(trial.metrics["loss"] == trial.parameters["x"] for trial in trials if trial is not failed)


def test_a_trial_whose_process_was_killed_is_offered_again_and_the_budget_is_exact() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=3)
    code = (
        "import orchestune, os, signal, sys\n"
        "trial = orchestune.Experiment.load(sys.argv[1]).ask()\n"
        "print(trial.number, trial.parameters.x, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, experiment.handle], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = experiment.ask(timeout=60)
    assert again is not None and f"{again.number} {again.parameters.x}\n" == killed.stdout
    again.tell({"loss": 1})
    numbers = []
    for trial in experiment.loop():
        numbers.append(trial.number)
        trial.tell({"loss": 0})
    assert experiment.state == "completed" and numbers == [2, 3]
    assert [trial.state for trial in experiment.results()] == ["completed"] * 3


def test_a_trial_that_a_loop_leaves_goes_to_another_process_of_this_machine() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=2)
    for trial in experiment.loop():
        assert trial.number == 1
        break
    del trial
    code = (
        "import orchestune, sys\n"
        "for trial in orchestune.Experiment.load(sys.argv[1]).loop():\n"
        "    trial.tell({'loss': 0.5})\n"
    )
    subprocess.run([sys.executable, "-c", code, experiment.handle], check=True)
    assert [trial.metrics["loss"] for trial in experiment.results()] == [0.5, 0.5]


def test_a_loop_that_is_left_within_a_trial_gives_it_back() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=2)
    for trial in experiment.loop():
        with trial:
            break
    again = experiment.ask(timeout=60)
    assert again is not None and again.number == 1
    again.tell({"loss": 1})
    for trial in experiment.loop():
        with trial:
            trial.report(loss=0.5)
            break
    assert [trial.state for trial in experiment.wait(60).results()] == ["completed"] * 2


def test_a_loop_that_a_guard_ends_says_why() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=3)

    def work() -> None:
        for trial in experiment.loop():
            with trial:
                trial.report(los=1)

    with pytest.warns(UserWarning, match=r"is paused and offers no more trials: .*saw los=1"):
        work()
    assert experiment.state == "paused"
    with pytest.warns(UserWarning, match="is paused"):
        assert asyncio.run(experiment.ask_async()) is None


def test_a_trial_without_its_metric_or_told_so_has_failed_and_has_one_outcome() -> None:
    experiment = orchestune.Experiment.create(**OPEN, budget=3)
    first = experiment.ask()
    assert first is not None
    first.tell({"loss": 3})
    with pytest.raises(Conflict, match="trial 1 already has its outcome"):
        first.tell({"loss": 1})
    second = experiment.ask()
    assert second is not None
    second.finish()
    third = experiment.ask()
    assert third is not None
    third.tell(None)
    assert experiment.ask() is None
    assert [trial.state for trial in experiment.results()] == ["completed", "failed", "failed"]


def test_who_runs_a_trial_is_told_that_the_experiment_was_stopped() -> None:
    experiment = orchestune.Experiment.create(**{**OPEN, "grace": "60s"}, budget=2)
    trial = experiment.ask()
    assert trial is not None and not trial.should_stop()
    experiment.stop()
    until("the stop", trial.should_stop)
    trial.finish()
    assert experiment.ask() is None and experiment.state == "stopped"


def test_the_trials_of_a_command_are_not_run_here() -> None:
    experiment = orchestune.Experiment.create(run="echo loss=1", **BOWL, budget=1)
    with pytest.raises(UsageError, match="run a command"):
        experiment.ask()
    with pytest.raises(UsageError, match="cannot run in docker"):
        orchestune.Experiment.create(**BOWL, budget=1, cluster="docker")


def test_keys_that_only_a_command_knows_are_refused_where_this_process_runs_the_trials() -> None:
    with pytest.raises(UsageError, match=r"^checkpoint, keep: no effect on trials that this process runs"):
        orchestune.Experiment.create(**BOWL, budget=1, keep=["best.pt"], checkpoint={"every": "5m"})


def test_tasks_share_the_trials_of_an_experiment_and_a_cancelled_one_gives_its_back() -> None:
    async def main() -> None:
        experiment = await orchestune.Experiment.create_async(**BOWL, budget=6, parallelism=2, name="tasks")
        done: list[int] = []

        async def work() -> None:
            async for trial in experiment.loop_async():
                with trial:
                    await asyncio.sleep(0.05)
                    trial.report(loss=trial.parameters.x)
                    done.append(trial.number)

        async def hold() -> None:
            trial = await experiment.ask_async()
            assert trial is not None
            held.set()
            with trial:
                await asyncio.sleep(600)

        held = asyncio.Event()
        holder = asyncio.create_task(hold())
        await held.wait()
        holder.cancel()
        await asyncio.gather(work(), work())
        assert sorted(done) == [1, 2, 3, 4, 5, 6]
        assert (await experiment.wait_async()).state == "completed"
        assert await experiment.ask_async() is None
        again = await orchestune.Experiment.load_async(experiment.handle)
        best, results = await asyncio.gather(again.best_async(), again.results_async())
        assert best == min(results, key=lambda trial: trial.metrics["loss"])

    asyncio.run(main())
