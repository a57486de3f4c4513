"""How often who waits for a trial asks the server."""

from __future__ import annotations

from orchestune.sdk.asking import Looks


def test_the_server_is_asked_at_once_and_then_less_and_less_often_up_to_a_limit() -> None:
    now = 100.0
    looks, asked = Looks(1.0, 4.0, clock=lambda: now), list[float]()
    for step in range(160):
        now = 100.0 + step / 10
        if looks.due():
            asked.append(now - 100)
    assert asked == [0.0, 1.0, 3.0, 7.0, 11.0, 15.0]
