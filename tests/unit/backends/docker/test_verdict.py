from __future__ import annotations

from typing import Any

import pytest

from orchestune.backends.docker import container_end
from orchestune.ports.backend import WorkerLoss

ENDED_SECONDS = 1795598753.667982
ENDED = "2026-11-25T09:25:53.667982888Z"


def state(code: int, **more: Any) -> dict[str, Any]:
    """Build the description of an ended container as Docker Engine 20.10 gives it."""
    return {"Status": "exited", "Running": False, "ExitCode": code, "Error": "", "FinishedAt": ENDED, **more}


@pytest.mark.parametrize(
    ("container_state", "times", "was_ordered", "expected_loss", "words"),
    [
        (
            state(137, OOMKilled=True),
            [ENDED_SECONDS - 0.1],
            False,
            WorkerLoss.OUT_OF_MEMORY,
            "more than its limit of 2 GiB",
        ),
        (state(137, OOMKilled=True), [ENDED_SECONDS - 3600], False, WorkerLoss.UNKNOWN, "was killed (SIGKILL)"),
        (state(137, OOMKilled=True), [], False, WorkerLoss.UNKNOWN, "was killed (SIGKILL)"),
        (state(137), [], True, WorkerLoss.UNKNOWN, "was asked to terminate"),
        (state(0, OOMKilled=True), [ENDED_SECONDS], False, WorkerLoss.UNKNOWN, "the worker ended"),
        (state(3), [], False, WorkerLoss.UNKNOWN, "exit code 3; its last lines:\nthe moon is full"),
        (state(127, Error="no such file"), [], False, WorkerLoss.UNKNOWN, "its container ended: no such file"),
    ],
)
def test_a_container_that_ended_is_judged(
    container_state: dict[str, Any], times: list[float], was_ordered: bool, expected_loss: WorkerLoss, words: str
) -> None:
    loss, reason = container_end.judge(container_state, 2 * 2**30, times, was_ordered, ["the moon is full"])
    assert (loss, words in reason) == (expected_loss, True), reason


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (ENDED, ENDED_SECONDS),
        ("2026-11-25T10:25:53+01:00", int(ENDED_SECONDS)),
        ("2026-11-25T09:25:53Z", int(ENDED_SECONDS)),
        ("0001-01-01T00:00:00Z", 0.0),
        ("", 0.0),
        (None, 0.0),
    ],
)
def test_dockers_times_have_nanoseconds_or_none(text: str | None, seconds: float) -> None:
    assert container_end.finished({"FinishedAt": text}) == pytest.approx(seconds, abs=1e-5)
