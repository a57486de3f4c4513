"""The user's own expressions, of which some would take for ever."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from orchestune.worker.metrics import expressions
from orchestune.worker.metrics.expressions import Expressions
from orchestune.worker.metrics.scanner import Declared, Reported, Scanner

SLOW, QUICK = r"(a+)+$(?P<loss>.)", r"loss (?P<loss>\d+)"
ENDLESS = b"a" * 40 + b"!"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(expressions, "TIMEOUT_CPU_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGVTALRM)
    yield
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("order", [(SLOW, QUICK), (QUICK, SLOW)])
def test_one_that_takes_for_ever_is_given_up_and_named_and_the_others_go_on(order: tuple[str, str]) -> None:
    messages: list[str] = []
    scanner = Scanner(Declared(["loss"], order), messages.append)
    reports = scanner.feed(b"Loss 0\nloss 1 " + ENDLESS + b"\nloss 2\n")
    reports += scanner.feed(ENDLESS + b"\nloss 3\n")
    assert reports == [Reported("loss", float(value), None, None) for value in (1, 2, 3)]
    [message] = messages
    assert f"the expression {SLOW} of `collect` took longer than" in message


def test_another_attempt_of_the_same_job_tries_it_again() -> None:
    messages: list[str] = []
    declared = Declared(["loss"], [SLOW])
    for _ in range(2):
        Scanner(declared, messages.append).feed(ENDLESS + b"\n")
    assert len(messages) == 2


def test_the_alarms_of_the_program_around_it_stay_as_they_were() -> None:
    def theirs(number: int, frame: object) -> None:
        rung.append(number)

    rung: list[int] = []
    signal.signal(signal.SIGVTALRM, theirs)
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000)
    try:
        Expressions([re.compile(SLOW.encode())], lambda text: None).find([ENDLESS])
        assert 900 < signal.getitimer(signal.ITIMER_VIRTUAL)[0] <= 1001
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.raise_signal(signal.SIGVTALRM)
    assert rung == [signal.SIGVTALRM]


def test_an_alarm_that_rings_late_does_nothing() -> None:
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    matches: list[Any] = Expressions([re.compile(QUICK.encode())], lambda text: None).find([b"loss 5"])
    signal.raise_signal(signal.SIGVTALRM)
    assert matches == [{"loss": b"5"}]


def test_beside_the_main_thread_they_find_the_same() -> None:
    own = Expressions([re.compile(QUICK.encode())], lambda text: None)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(own.find, [b"loss 5", b"", b"loss 6"]).result() == [{"loss": b"5"}, {"loss": b"6"}]
