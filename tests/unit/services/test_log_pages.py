"""Logs come in parts that a server has in its memory, however much was printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.services.queries import log_bytes, read_logs
from tests.contract.world import CoreWorld

PART = 200_000
PARTS = 60


def printed(world: CoreWorld) -> tuple[str, list[str]]:
    """An experiment that is over, and what its trial printed, part by part."""
    experiment = world.create(budget=1, parallelism=1)
    [(worker, lease)] = world.lease()
    texts, at = [], 0
    for number in range(PARTS):
        texts.append(f"{number:07}\n" * (PART // 8))
        worker.call(beats=[worker.started(lease) | {"logs": [[at, texts[-1], 0]]}])
        at += PART
    worker.call(finished=[worker.finish(lease, logs=[], log_bytes=at)])
    assert world.run(experiment)["state"] == "completed"
    return experiment, texts


def pages(world: CoreWorld, experiment: str, **filters: Any) -> Iterator[list[str]]:
    after = 0
    while True:
        page = read_logs.logs(world.core, experiment, after, 1000, **filters)
        yield [item["text"] for item in page["items"]]
        assert page["more"] is not page["over"]
        if not page["more"]:
            return
        after = page["next"]
        filters.pop("tail", None)


@pytest.mark.parametrize("moved", [False, True], ids=["in rows", "in files"])
def test_a_page_holds_no_more_than_some_megabytes_and_all_of_them_hold_everything(
    world: CoreWorld, moved: bool
) -> None:
    experiment, texts = printed(world)
    if moved:
        GarbageCollection(world.core).move_logs()
    all_pages = list(pages(world, experiment, trial=1))
    assert [text for page in all_pages for text in page] == texts
    assert all(len("".join(page)) <= 4 * 2**20 for page in all_pages)
    assert 2 < len(all_pages) < 6
    tail = [text for page in pages(world, experiment, tail=PARTS * PART // 8 - PART // 4) for text in page]
    assert tail == texts[-len(tail) :] and PARTS - 3 <= len(tail) < PARTS


def test_a_part_that_is_larger_than_a_page_comes_alone(world: CoreWorld) -> None:
    experiment = world.create(budget=1, parallelism=1)
    [(worker, lease)] = world.lease()
    large = "x" * (5 * 2**20)
    for at, text in ((0, "a\n"), (2, large), (2 + len(large), "b\n")):
        worker.call(beats=[worker.started(lease) | {"logs": [[at, text, 0]]}])
    worker.call(finished=[worker.finish(lease, logs=[], log_bytes=4 + len(large))])
    world.run(experiment)
    assert list(pages(world, experiment)) == [["a\n"], [large], ["b\n"]]


def test_few_bytes_are_read_at_once_to_find_the_start_of_a_tail(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty parts of 2 MiB, each of some KiB in the store, were in memory at once."""
    experiment, _ = printed(world)
    sizes = list[int]()
    read_all = log_bytes.read_all

    def noting(files: Any, segments: Any) -> list[bytes]:
        sizes.append(sum(segment.length for segment in segments))
        return read_all(files, segments)

    monkeypatch.setattr(read_logs, "read_all", noting)
    read_logs.logs(world.core, experiment, 0, 1, tail=1)
    assert sizes and max(sizes) <= 4 * 2**20
