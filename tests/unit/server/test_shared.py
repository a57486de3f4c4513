"""One reading for many readers."""

from __future__ import annotations

import asyncio

from orchestune.server.shared import SharedReads


class Source:
    """Something that changes, and counts how often it was read."""

    def __init__(self) -> None:
        self.version = 1
        self.read = 0

    async def reading(self) -> int:
        self.read += 1
        found = self.version
        await asyncio.sleep(0)
        return found

    async def ask(self, shared: SharedReads[int], pause: float = 0.0) -> int:
        return await shared.fresh("k", lambda: self.version, pause, self.reading)


def test_what_has_not_changed_is_read_once() -> None:
    source, shared = Source(), SharedReads[int]()

    async def ask() -> list[int]:
        return [await source.ask(shared) for _ in range(5)]

    assert asyncio.run(ask()) == [1] * 5
    assert source.read == 1


def test_who_asks_after_a_change_is_told_of_it_however_short_before_somebody_else_asked() -> None:
    source, shared = Source(), SharedReads[int]()

    async def ask() -> list[int]:
        found = [await source.ask(shared, 0.05)]
        source.version = 2
        return found + await asyncio.gather(*(source.ask(shared, 0.05) for _ in range(9)))

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
