"""One reading for many readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from orchestune.server.keyed_semaphores import KeyedSemaphores
from orchestune.server.shared_reads import SharedReads

Turn = Callable[[], AbstractAsyncContextManager[None]]


class Source:
    """Something that changes, and counts how often it was read."""

    def __init__(self) -> None:
        self.version = 1
        self.read = 0

    async def reading(self) -> int:
        self.read += 1
        version = self.version
        await asyncio.sleep(0)
        return version

    async def ask(self, shared: SharedReads[int], pause: float = 0.0, turn: Turn = nullcontext) -> int:
        return await shared.fresh("k", lambda: self.version, pause, turn, self.reading)


def test_what_has_not_changed_is_read_once() -> None:
    source, shared = Source(), SharedReads[int]()

    async def ask() -> list[int]:
        return [await source.ask(shared) for _ in range(5)]

    assert asyncio.run(ask()) == [1] * 5
    assert source.read == 1


def test_who_asks_after_a_change_is_told_of_it_however_short_before_somebody_else_asked() -> None:
    source, shared = Source(), SharedReads[int]()

    async def ask() -> list[int]:
        answers = [await source.ask(shared, 0.05)]
        source.version = 2
        return answers + await asyncio.gather(*(source.ask(shared, 0.05) for _ in range(9)))

    assert asyncio.run(ask()) == [1] + [2] * 9
    assert source.read == 2


def test_what_changes_while_it_is_read_is_read_again_for_who_asks_then() -> None:
    source, shared = Source(), SharedReads[int]()

    async def ask() -> list[int]:
        first = asyncio.create_task(source.ask(shared))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        source.version = 2
        second = asyncio.create_task(source.ask(shared))
        return [await first, await second]

    assert asyncio.run(ask()) == [1, 2]
    assert source.read == 2


def test_a_request_that_waits_for_its_turn_delays_no_other_one() -> None:
    source, shared, turns = Source(), SharedReads[int](), KeyedSemaphores()

    async def ask() -> list[int]:
        async with turns.of("vera"):
            queued = asyncio.create_task(source.ask(shared, turn=lambda: turns.of("vera")))
            await asyncio.sleep(0)
            answers = [await asyncio.wait_for(source.ask(shared, turn=lambda: turns.of("eve")), 60)]
        return [*answers, await queued]

    assert asyncio.run(ask()) == [1, 1]
    assert source.read == 1


def test_requests_that_come_while_it_is_read_keep_the_pause_before_the_next_read() -> None:
    source, shared, starts, pause = Source(), SharedReads[int](), list[float](), 0.05

    async def ask() -> list[int]:
        is_read = asyncio.Event()

        async def read() -> int:
            starts.append(time.monotonic())
            is_read.set()
            await asyncio.sleep(0)
            return await source.reading()

        first = asyncio.create_task(shared.fresh("k", lambda: source.version, pause, nullcontext, read))
        await is_read.wait()
        source.version = 2
        others = (shared.fresh("k", lambda: source.version, pause, nullcontext, read) for _ in range(9))
        return [await first, *await asyncio.gather(*others)]

    assert asyncio.run(ask())[1:] == [2] * 9
    assert len(starts) == 2 and starts[1] - starts[0] > 0.9 * pause


def test_documents_are_kept_up_to_their_size_in_all() -> None:
    shared = SharedReads[bytes](max_size=10, size=len)
    read = list[int]()

    async def ask(size: int) -> None:
        async def reading() -> bytes:
            read.append(size)
            return bytes(size)

        assert len(await shared.read(str(size), 3600.0, reading)) == size

    async def ask_all() -> None:
        for size in (4, 5, 4, 6, 4, 5, 20, 20, 4):
            await ask(size)

    asyncio.run(ask_all())
    assert read == [4, 5, 6, 5, 20, 4]
