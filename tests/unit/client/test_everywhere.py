"""Several servers are asked at once."""

from __future__ import annotations

import time

from orchestune.client.address import ServerPlace
from orchestune.client.all_servers import ask
from orchestune.client.api import Client
from tests.unit.client.fake_server import FakeServer, status

TIMEOUT = 2.0


def test_a_server_that_has_many_pages_to_give_is_waited_for_and_a_silent_one_is_not() -> None:
    def question(client: Client) -> int:
        until, count = time.monotonic() + 1.5 * TIMEOUT, 0
        while time.monotonic() < until:
            count += len(client.experiments())
        return count

    with FakeServer() as long, FakeServer() as silent:
        long.put(status())
        silent.world.hold = "experiments"
        answers = ask([ServerPlace(None, long.resolve), ServerPlace(None, silent.resolve)], question, TIMEOUT)
        silent.world.held.set()
    assert answers[0].error is None and (answers[0].value or 0) > 1
    assert answers[1].error is not None and answers[1].error.message == "no answer within 2 s"
