"""Results and errors of `tune` at the end of an experiment."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import ModuleType
from typing import Any

import cloudpickle
import pytest
from sklearn.dummy import DummyClassifier

import orchestune
from orchestune.errors import BadInput, TooLarge, UsageError
from orchestune.sdk import tuning
from orchestune.sdk.call import FunctionCall, takes_names
from orchestune.sdk.tuning import _require_completed, pickled, start
from orchestune.sklearn import SearchCV


class _Experiment:
    """In this state, with one trial that completed."""

    def __init__(self, state: str, code: str) -> None:
        self.state, self.code = state, code

    def status(self) -> dict[str, Any]:
        counts = {"completed": 1, "failed": 0, "pruned": 0}
        reason = {"code": self.code, "message": "all gave the same"}
        return {"handle": "f-7f3a", "state": self.state, "reason": reason, "counts": counts}


def test_an_end_by_a_guard_is_told_in_a_warning() -> None:
    experiment: Any = _Experiment("paused", "identical_metrics")
    with pytest.warns(UserWarning, match=r"f-7f3a is paused and .*: all gave the same; continue with resume\(\)"):
        assert _require_completed(experiment) is experiment


@pytest.mark.parametrize(("state", "code"), [("completed", "budget"), ("paused", "paused_by_user")])
def test_another_end_is_no_reason_for_a_warning(state: str, code: str) -> None:
    experiment: Any = _Experiment(state, code)
    assert _require_completed(experiment) is experiment


def test_what_keeps_files_of_a_folder_in_which_no_function_runs_is_refused() -> None:
    with pytest.raises(UsageError, match="keep: no effect, because the function runs in the current folder"):
        start(lambda x: x, {"x": [1, 2]}, {"y": "minimize"}, budget=2, keep=["*.pt"])


@pytest.mark.parametrize("wrong", [["x"], "x", 5, None])
def test_parameters_and_metrics_that_are_none_by_name_are_refused(wrong: Any) -> None:
    with pytest.raises(BadInput, match=r"^parameters: expected a mapping by name, such as \{'lr': .* got "):
        start(lambda x: x, wrong, {"y": "minimize"}, budget=2)
    with pytest.raises(BadInput, match=r"^metrics: expected a mapping by name, such as \{'loss': .* got "):
        start(lambda x: x, {"x": [1, 2]}, wrong, budget=2)


def test_a_name_that_is_no_text_is_refused_whatever_the_function_takes() -> None:
    wrong: Any = {1: [1, 2]}
    with pytest.raises(BadInput, match=r"^parameters.1: '1' is not a valid name for a parameter"):
        start(lambda x: x, wrong, {"y": "minimize"}, budget=2)


def test_an_argument_for_what_does_not_always_apply_needs_a_default() -> None:
    """Else every trial without it fails, and the search takes what these have for bad."""
    parameters = {"opt": ["adam", "sgd"], "momentum": {"min": 0.0, "max": 1.0, "when": {"opt": "sgd"}}}
    with pytest.raises(UsageError) as caught:
        start(lambda opt, momentum: 1.0, parameters, {"y": "minimize"}, budget=2)
    assert caught.value.message.endswith("(opt, momentum), and momentum does not apply in each configuration")
    for function in (lambda opt, momentum=0.9: 1.0, lambda **parameters_taken: 1.0):
        assert takes_names(function, tuple(parameters), ["momentum"])
    assert not takes_names(lambda parameters_taken: 1.0, tuple(parameters), ["momentum"])


def test_a_function_that_takes_too_much_along_is_refused_with_what_that_is() -> None:
    small, data = "abc", bytes(3 << 20)
    with pytest.raises(TooLarge) as caught:
        start(lambda x: len(data) + len(small) + x, {"x": [1, 2]}, {"y": "minimize"}, budget=2, code={"limit": "1Mi"})
    message = "the pickled function has 3.0 MiB, sent to the process of each trial, of which data is 3.0 MiB"
    assert caught.value.message == message
    assert caught.value.hint.startswith("read large data inside the function")


class _Started:
    """An experiment that knows whether it was stopped."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def unfindable(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that no other process could import."""
    module = ModuleType("unfindable")
    exec("def train(x):\n    return wait(x)", vars(module))
    monkeypatch.setitem(sys.modules, "unfindable", module)
    return module


def test_functions_of_one_module_are_taken_along_by_threads_at_the_same_time(unfindable: ModuleType) -> None:
    both = threading.Barrier(2)

    class Meeting:
        def __reduce__(self) -> tuple[type[int], tuple[int]]:
            with suppress(threading.BrokenBarrierError):  # where one comes after the other
                both.wait(0.2)
            return int, (1,)

    vars(unfindable)["wait"] = Meeting()
    with ThreadPoolExecutor(2) as threads:
        calls = [FunctionCall(unfindable.train, ("y",), by_name=True)] * 2
        assert all(b"unfindable" in data and b"wait" in data for data in threads.map(pickled, calls))
    assert "unfindable" not in cloudpickle.list_registry_pickle_by_value()


def test_a_module_that_a_program_takes_along_by_itself_stays_so(unfindable: ModuleType) -> None:
    cloudpickle.register_pickle_by_value(unfindable)
    try:
        pickled(FunctionCall(unfindable.train, ("y",), by_name=True))
        assert "unfindable" in cloudpickle.list_registry_pickle_by_value()
    finally:
        with suppress(ValueError):
            cloudpickle.unregister_pickle_by_value(unfindable)


def _tune() -> None:
    orchestune.tune(lambda x: x, {"x": [1, 2]}, {"y": "minimize"}, budget=2)


def _search() -> None:
    SearchCV(DummyClassifier(), {"constant": [0, 1]}, n_iter=2, cv=2).fit([[0], [1]] * 2, [0, 1] * 2)


@pytest.mark.parametrize("begun", [_tune, _search])
def test_an_experiment_that_is_being_created_when_ctrl_c_comes_is_stopped(
    monkeypatch: pytest.MonkeyPatch, begun: Callable[[], None]
) -> None:
    experiment = _Started()

    def begin(*_: Any, **__: Any) -> Any:
        main = threading.main_thread().ident or 0
        while main != threading.get_ident() and "result" not in {
            frame.name for frame in traceback.extract_stack(sys._current_frames()[main])
        }:
            time.sleep(0.001)  # until it waits for what is begun here
        signal.pthread_kill(main, signal.SIGINT)
        return experiment

    monkeypatch.setattr(tuning, "start", begin)
    with pytest.raises(KeyboardInterrupt):
        begun()
    assert experiment.stopped


def test_what_keeps_a_function_from_being_sent_is_told_by_its_name() -> None:
    lock, factor = threading.Lock(), 2.0

    def train(x: float) -> float:
        with lock:
            return factor * x

    with pytest.raises(UsageError, match="cannot be sent to another process") as caught:
        pickled(FunctionCall(train, ("loss",), True))
    assert caught.value.hint.startswith("create lock inside the function: ")
