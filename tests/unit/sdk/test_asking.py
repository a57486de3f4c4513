"""Frequency of requests while a caller waits for a trial, and knowledge about a leased one."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.errors import BadInput
from orchestune.sdk import asked_trials, experiments
from orchestune.sdk.asked_trials import OpenTrial, PollSchedule, claim
from orchestune.sdk.creating import BRIDGE, _with_bridge_timeout
from orchestune.sdk.experiments import Experiment
from orchestune.system import local_socket


def test_the_server_is_asked_after_a_while_and_then_less_and_less_often_up_to_a_limit() -> None:
    now = 100.0
    looks, times = PollSchedule(1.0, 4.0, clock=lambda: now), list[float]()
    for step in range(160):
        now = 100.0 + step / 10
        if looks.due():
            times.append(now - 100)
    assert times == [1.0, 2.0, 4.0, 8.0, 12.0]
    assert looks.pause == 0.05


def test_offers_are_looked_for_often_at_first() -> None:
    now = 100.0
    looks, pauses = PollSchedule(1.0, 4.0, clock=lambda: now), []
    for _ in range(200):
        pauses.append(looks.pause)
        now += looks.pause
    assert (pauses[0], pauses[-1]) == (0.001, 0.05) and pauses == sorted(pauses)
    assert sum(pause < 0.005 for pause in pauses) > 30


def test_a_trial_that_was_taken_says_which_fold_it_is(tmp_path: Path) -> None:
    files = {"ORCHESTUNE_PARAMS": tmp_path / "params.json", "ORCHESTUNE_METRICS": tmp_path / "metrics.jsonl"}
    files["ORCHESTUNE_PARAMS"].write_text(json.dumps({"x": 2}))
    variables = {"ORCHESTUNE_TRIAL": "3", "ORCHESTUNE_SEED": "7", "ORCHESTUNE_FOLD": "1"}
    environ = {**os.environ, **variables, **{name: str(path) for name, path in files.items()}}
    command = [sys.executable, "-m", "orchestune.sdk.bridge", str(tmp_path / "offers")]
    with subprocess.Popen(command, env=environ) as bridge:
        try:
            while (trial := claim(tmp_path / "offers")) is None:
                assert bridge.poll() is None
                time.sleep(0.02)
            assert (trial.number, trial.seed, trial.fold, trial.parameters) == (3, 7, 1, {"x": 2})
            trial.tell({"y": 0.5})
            assert bridge.wait() == 0
        finally:
            bridge.kill()
    assert json.loads(files["ORCHESTUNE_METRICS"].read_text()) == {"name": "y", "value": 0.5}


def offered(folder: Path, path: Path) -> None:
    """An offer of a process that listens, or listened, at `path`."""
    (folder / "000000001-1.offer").write_text(json.dumps({"socket": str(path)}))


def test_an_offer_of_a_process_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    with local_socket.listen(tmp_path / "1.sock", 1):
        pass
    for path in (tmp_path / "1.sock", tmp_path / "2.sock"):
        offered(tmp_path, path)
        assert claim(tmp_path) is None
        assert not list(tmp_path.glob("*.offer"))


def test_an_offer_behind_which_nothing_answers_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_trials, "_ANSWER_TIMEOUT_SECONDS", 0.1)
    with local_socket.listen(tmp_path / "1.sock", 1):
        offered(tmp_path, tmp_path / "1.sock")
        assert claim(tmp_path) is None


def test_another_user_reaches_no_trial_on_offer(one_at_a_time: Experiment, tmp_path: Path) -> None:
    [offers] = (tmp_path / "offers").iterdir()
    while not list(offers.glob("*.offer")):
        time.sleep(0.02)
    offer = next(offers.glob("*.offer"))
    path = json.loads(offer.read_text())["socket"]
    assert (stat.S_IMODE(offers.stat().st_mode), stat.S_IMODE(os.stat(path).st_mode)) == (0o700, 0o600)
    trial = one_at_a_time.ask()
    assert trial is not None
    trial.tell({"y": 1.0})
    assert not list(offers.iterdir())


class _Server:
    """With one experiment, of which as many trials run as may."""

    def __init__(self, folder: Path) -> None:
        self._run = [sys.executable, "-m", BRIDGE, str(folder)]

    def experiment(self, _: str) -> dict[str, Any]:
        counts = {"running": 1}
        return {"id": "7f3a", "handle": "f-7f3a", "name": "f", "state": "running", "reason": None, "counts": counts,
                "parallelism": 1}  # fmt: skip

    def specification(self, _: str) -> dict[str, Any]:
        return {"specification": {"run": self._run}}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Experiment]:
    """An experiment of one trial, 3, which is on offer until its result is reported."""
    (tmp_path / "params.json").write_text("{}")
    variables = {"ORCHESTUNE_TRIAL": "3", "ORCHESTUNE_SEED": "7", "ORCHESTUNE_FOLD": "0"}
    files = {"ORCHESTUNE_PARAMS": str(tmp_path / "params.json"), "ORCHESTUNE_METRICS": str(tmp_path / "metrics.jsonl")}
    monkeypatch.setattr(experiments, "_OFFER_DELAY_SECONDS", 0.2)
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path))
    offers = tmp_path / "offers" / uuid.uuid4().hex
    offers.mkdir(parents=True, mode=0o700)
    command = [sys.executable, "-m", BRIDGE, str(offers)]
    server: Any = _Server(offers)
    with subprocess.Popen(command, env={**os.environ, **variables, **files}) as bridge:
        try:
            yield Experiment(server, server.experiment(""))
            assert bridge.wait(timeout=20) == 0
        finally:
            bridge.kill()


def _a_statement_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "last_value", KeyboardInterrupt(), raising=False)  # as IPython and Python do


def test_a_trial_that_a_cell_of_a_notebook_left_open_is_offered_again(
    one_at_a_time: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = one_at_a_time.ask(timeout=60)
    assert first is not None
    with pytest.raises(TimeoutError):
        one_at_a_time.ask(timeout=0.6)  # a caller that asks for several at a time may report them later
    assert not first.over
    _a_statement_fails(monkeypatch)
    with pytest.warns(UserWarning, match="trial 3 was left open by a failed statement"):
        again = one_at_a_time.ask(timeout=60)
    assert again is not None
    assert (again.number, first.over) == (3, True)
    again.tell({"y": 0.5})


def test_a_trial_that_a_failed_cell_awaited_is_offered_again_but_none_of_a_task_that_goes_on(
    one_at_a_time: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cells() -> None:
        is_taken, goes_on = asyncio.Event(), asyncio.Event()

        async def behind() -> OpenTrial | None:
            trial = await one_at_a_time.ask_async(timeout=60)
            is_taken.set()
            await goes_on.wait()
            return trial

        first = asyncio.create_task(behind())
        await is_taken.wait()
        with pytest.raises(TimeoutError):
            await one_at_a_time.ask_async(timeout=0.6)
        _a_statement_fails(monkeypatch)
        with pytest.raises(TimeoutError):
            await one_at_a_time.ask_async(timeout=0.6)
        goes_on.set()
        trial = await first
        with pytest.warns(UserWarning, match="trial 3 was left open by a failed statement"):
            again = await one_at_a_time.ask_async(timeout=60)
        assert trial is not None and again is not None
        assert (again.number, trial.over) == (3, True)
        again.tell({"y": 0.5})

    asyncio.run(cells())


def test_a_trial_that_is_given_back_is_on_offer_though_a_forked_process_goes_on(one_at_a_time: Experiment) -> None:
    first = one_at_a_time.ask(timeout=60)
    assert first is not None
    held = os.dup(first._line.fileno())  # what such a process has, such as one of a pool
    try:
        first.give_back()
        again = one_at_a_time.ask(timeout=5)
        assert again is not None and again.number == first.number
        again.tell({"y": 0.5})
    finally:
        os.close(held)


class _Line:
    """The other end receives a question only once the answer to the one before has been read."""

    closed = False

    def __init__(self) -> None:
        self.asked = self.answered = 0
        self.mixed = False

    def send_bytes(self, data: bytes) -> None:
        self.asked += 1
        self.mixed |= self.asked != self.answered + 1
        time.sleep(0.001)

    def recv_bytes(self) -> bytes:
        self.answered += 1
        return b"false"

    def close(self) -> None:
        """Nothing is open."""


def test_what_several_threads_say_of_a_trial_does_not_mix() -> None:
    line: Any = _Line()
    trial = OpenTrial(line, {"number": 3, "seed": 7, "fold": 0, "parameters": {}})
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda step: trial.report(y=1.0, step=step), range(40)))
    assert (line.answered, line.mixed) == (40, False)


def test_nothing_is_made_for_trials_that_a_mistake_keeps_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path / "home"))
    with pytest.raises(BadInput):
        Experiment.create(parameters={"x": "1..1"}, metrics={"y": "maximize"}, budget=2)
    assert not list((tmp_path / "home").glob("offers/*"))


def test_an_exception_after_the_outcome_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs, OpenTrial(ours, {"number": 3, "seed": 7, "fold": 0, "parameters": {}}) as trial:
        trial.give_back()
        raise ZeroDivisionError("behind the outcome")
    assert "ZeroDivisionError: behind the outcome" in capsys.readouterr().err


def test_the_time_of_a_trial_begins_when_it_is_taken(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text("{}")
    variables = {"ORCHESTUNE_TRIAL": "3", "ORCHESTUNE_SEED": "7", "ORCHESTUNE_FOLD": "0"}
    files = {"ORCHESTUNE_PARAMS": str(tmp_path / "params.json"), "ORCHESTUNE_METRICS": str(tmp_path / "metrics.jsonl")}
    command = [sys.executable, "-m", BRIDGE, str(tmp_path / "offers"), "0.5"]
    with subprocess.Popen(
        command, env={**os.environ, **variables, **files}, stderr=subprocess.PIPE, text=True
    ) as bridge:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                bridge.wait(timeout=1.5)  # on offer
            while (trial := claim(tmp_path / "offers")) is None:
                time.sleep(0.02)
            assert bridge.wait(timeout=20) == 1
            assert bridge.stderr is not None and bridge.stderr.read() == "ran longer than 0.5s\n"
            assert trial.should_stop()
        finally:
            bridge.kill()


def test_the_timeout_of_trials_that_a_process_takes_is_in_the_hands_of_who_knows_when_it_has_one() -> None:
    space = Space.of((Parameter("x", "float", 0.0, 1.0),))
    specification = Specification(
        "f", ("python", "-m", BRIDGE, "/offers"), space, (Metric("y", "minimize"),), 3, timeout=60.0
    )
    timed = _with_bridge_timeout(specification)
    assert (timed.run, timed.timeout) == (("python", "-m", BRIDGE, "/offers", "60.0"), None)
    assert _with_bridge_timeout(timed) is timed
