"""Calls for event loops."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

from orchestune.sdk.async_methods import in_thread
from orchestune.sdk.experiments import Experiment
from orchestune.sdk.plots import Plots


class Slow:
    """Answers only once the loop has gone on."""

    def __init__(self) -> None:
        self.gone_on = threading.Event()

    def ask(self, first: int, *, second: int) -> tuple[int, int, bool]:
        return first, second, self.gone_on.wait(60)

    ask_async = in_thread(ask)


def test_the_loop_goes_on_while_a_call_waits() -> None:
    async def main() -> tuple[int, int, bool]:
        slow = Slow()
        call = asyncio.create_task(slow.ask_async(1, second=2))
        await asyncio.sleep(0)
        slow.gone_on.set()
        return await call

    assert asyncio.run(main()) == (1, 2, True)


@pytest.mark.parametrize("kind", [Experiment, Plots])
def test_every_call_that_asks_the_server_has_a_variant_for_event_loops(kind: type) -> None:
    public = {name for name, value in inspect.getmembers(kind, inspect.isroutine) if not name.startswith("_")}
    plain = {name for name in public if not name.endswith("_async")}
    assert {f"{name}_async" for name in plain} == public - plain
    assert plain
    variants = [getattr(kind, name) for name in public - plain]
    assert all(inspect.iscoroutinefunction(variant) or inspect.isasyncgenfunction(variant) for variant in variants)
