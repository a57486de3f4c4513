from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orchestune.domain.search.space import Configuration
from orchestune.domain.search.trial import Observation, ask_seed
from orchestune.domain.specification.metrics import Metric
from orchestune.engines.process import parent
from orchestune.engines.process.parent import ChildHost, EngineLost, ProcessEngine
from orchestune.engines.registry import create
from orchestune.errors import OrchestuneError, TemporaryError
from tests.contract.engine_contract import MIXED, observe
from tests.testbeds.processes import alive
from tests.testbeds.waiting import until

LOSS = Metric("loss", "minimize")


@pytest.fixture
def host() -> Iterator[ChildHost]:
    host = ChildHost()
    yield host
    host.close()


def engine_in(host: ChildHost, **options: Any) -> ProcessEngine:
    return ProcessEngine("tpe", MIXED, [LOSS], seed=1, options=options or {"startup": 3}, host=host)


def history(count: int) -> list[Observation]:
    engine = create("random", MIXED, [LOSS], seed=1)
    return [observe(number, engine.ask([], number, ask_seed(4, number))) for number in range(1, count + 1)]


def test_a_long_history_is_told_in_parts_and_answered_as_if_told_at_once(
    host: ChildHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_sizes: list[int] = []
    child = host.child()
    request = child.request

    def counted(document: dict[str, Any]) -> dict[str, Any]:
        batch_sizes.append(len(document["observations"]))
        return request(document)

    monkeypatch.setattr(child, "request", counted)
    monkeypatch.setattr(parent, "_MAX_RESULTS_PER_MESSAGE", 8)
    ours = create("tpe", MIXED, [LOSS], seed=1, options={"startup": 3}, in_process=True)
    theirs = engine_in(host)
    for engine in (ours, theirs):
        engine.tell(history(30))
    assert theirs.ask([], 31, 5) == ours.ask([], 31, 5)
    assert batch_sizes == [8, 8, 8, 6]


def test_the_answers_are_those_of_an_engine_beside_us(host: ChildHost) -> None:
    ours = create("tpe", MIXED, [LOSS], seed=1, options={"startup": 3}, in_process=True)
    theirs = engine_in(host)
    for observation in history(30):
        ours.tell([observation])
        theirs.tell([observation])
        if observation.number % 5 == 0:
            pending: list[Configuration] = [{"method": "tuned", "rate": 0.25}]
            number = observation.number + 1
            assert repr(theirs.ask(pending, number, 8)) == repr(ours.ask(pending, number, 8))


def test_several_engines_and_threads_share_one_process(host: ChildHost) -> None:
    engines = [engine_in(host) for _ in range(6)]
    observations = history(30)

    def search(index: int) -> list[str]:
        engines[index].tell(observations)
        return [repr(engines[index].ask([], 31, seed)) for seed in range(10)]

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(search, range(6)))
    assert all(answer == answers[0] for answer in answers)
    assert len({engine._child for engine in engines}) == 1


def test_a_killed_process_loses_its_engines_and_the_next_one_gives_the_same_answer(host: ChildHost) -> None:
    engine, observations = engine_in(host), history(30)
    engine.tell(observations)
    answer = engine.ask([], 31, 8)
    host.child().process.kill()
    until("another child", lambda: not host.child().alive() or host.child() is not engine._child)
    for _ in range(2):
        with pytest.raises(EngineLost):
            engine.ask([], 31, 8)
    again = engine_in(host)
    again.tell(observations)
    assert repr(again.ask([], 31, 8)) == repr(answer)
    assert issubclass(EngineLost, TemporaryError)


def test_a_process_that_gives_no_answer_is_ended() -> None:
    host = ChildHost(timeout=1.0)
    child = host.child()
    os.kill(child.process.pid, signal.SIGSTOP)
    with pytest.raises(EngineLost):
        engine_in(host).ask([], 1, 1)
    assert not child.alive()
    host.close()


def test_closing_the_host_ends_the_process_and_an_engine_says_that_it_is_lost(host: ChildHost) -> None:
    engine = engine_in(host)
    engine.ask([], 1, 1)
    pid = host.child().process.pid
    host.close()
    host.close()
    assert not alive(pid)
    with pytest.raises(EngineLost):
        engine.ask([], 2, 2)
    engine.close()


def test_a_closed_engine_is_forgotten_with_the_next_request(host: ChildHost) -> None:
    first, second = engine_in(host), engine_in(host)
    first.ask([], 1, 1)
    first.close()
    first.close()
    assert host.child().closed == {first._number}
    second.ask([], 1, 1)
    assert host.child().closed == set()


def test_an_interrupt_from_the_terminal_is_not_for_the_process(host: ChildHost) -> None:
    engine = engine_in(host)
    engine.ask([], 1, 1)
    pid = host.child().process.pid
    assert os.getpgid(pid) != os.getpgrp()
    os.kill(pid, signal.SIGINT)
    assert engine.ask([], 2, 2)
    assert host.child().process.pid == pid


def test_the_process_ends_with_its_parent() -> None:
    script = (
        "import os, signal\n"
        "from orchestune.engines.process.parent import HOST\n"
        "print(HOST.child().process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGKILL
    until("the end of the child", lambda: not alive(int(result.stdout)))


def test_a_program_that_forgets_to_close_leaves_nothing_behind_either() -> None:
    script = "from orchestune.engines.process.parent import HOST\nprint(HOST.child().process.pid, flush=True)\n"
    result = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert not alive(int(result.stdout))


def test_a_file_in_the_current_folder_does_not_stand_in_for_a_library(
    host: ChildHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "optuna.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert engine_in(host).ask([], 1, 1)


def test_an_engine_that_fails_says_why_and_takes_no_other_with_it(
    host: ChildHost, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = engine_in(host, nonsense=1), engine_in(host)
    with caplog.at_level(logging.ERROR), pytest.raises(OrchestuneError, match="nonsense"):
        broken.ask([], 1, 1)
    assert "Traceback" in caplog.text
    with pytest.raises(EngineLost):
        broken.ask([], 1, 1)
    assert sound.ask([], 1, 1)
