"""Logs that were moved to the place of files are read from there once, and no more of them than is wanted."""

from __future__ import annotations

import base64
import gzip
import io
import random
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from sqlalchemy import func, select

from orchestune.controllers import log_objects
from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.errors import StoreUnavailable
from orchestune.files.folder import FolderFiles
from orchestune.services.core import Core
from orchestune.services.queries import export_record, read_logs
from orchestune.services.queries.log_bytes import read_all
from orchestune.store import logs
from orchestune.store.logs import MovedSegment
from orchestune.store.tables import log_segments
from tests.contract.world import CoreWorld

LINE = base64.b64encode(random.Random(7).randbytes(767)).decode()[:1023] + "\n"
FIRST = 70
"""lines; more than a block holds"""


class Body(io.BytesIO):
    """A bucket's answer, which can only be read forward."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation


class Bucket(FolderFiles):
    """Remembers from where its objects were read, and how much was left of each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bodies: list[tuple[int, Body]] = []

    def open(self, key: str, start: int = 0) -> BinaryIO:
        with super().open(key, start) as file:
            self.bodies.append((start, Body(file.read())))
        return self.bodies[-1][1]


@pytest.fixture
def bucket(world: CoreWorld) -> Bucket:
    return Bucket(world.folder / "files")


@pytest.fixture
def core(world: CoreWorld, bucket: Bucket) -> Core:
    return replace(world.core, files=bucket)


def printed(world: CoreWorld, lines: int) -> str:
    """An experiment whose two trials print in turns, and whose logs were moved."""
    experiment = world.create(budget=2)
    leases = world.lease(2)
    for number in range(lines):
        for worker, lease in leases:
            worker.call(beats=[worker.started(lease) | {"logs": [[number * len(LINE), LINE, 0]]}])
    for worker, lease in leases:
        worker.call(finished=[worker.finish(lease, logs=[], log_bytes=lines * len(LINE))])
    world.run(experiment)
    GarbageCollection(world.core).move_logs()
    return experiment


def test_a_page_reads_the_object_of_each_log_once_and_from_where_the_page_begins(
    world: CoreWorld, core: Core, bucket: Bucket
) -> None:
    experiment = printed(world, lines=100)
    page = read_logs.logs(core, experiment, 0, 2 * FIRST)
    rest = read_logs.logs(core, experiment, page["next"], 2 * FIRST)
    items = page["items"] + rest["items"]
    assert [(item["trial"], item["text"]) for item in items] == [(1, LINE), (2, LINE)] * 100
    first, second, *later = [start for start, _ in bucket.bodies]
    assert (first, second) == (0, 0) and len(set(later)) == 1 and len(later) == 2 and later[0] > 0, "the second block"


def test_a_log_of_very_many_segments_is_moved_in_several_objects(
    world: CoreWorld, core: Core, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_objects, "_MAX_SEGMENTS", 40)
    experiment = printed(world, lines=150)
    GarbageCollection(world.core).move_logs()
    items = read_logs.logs(core, experiment, 0, 1000)["items"]
    assert [(item["trial"], item["text"]) for item in items] == [(1, LINE), (2, LINE)] * 150
    assert len(bucket.bodies) == 4, "two objects of each log; what is left is short"


def test_a_record_reads_each_object_once(world: CoreWorld, core: Core, bucket: Bucket) -> None:
    experiment = printed(world, lines=100)
    record = io.BytesIO()
    export_record.write(core, experiment, record)
    assert [start for start, _ in bucket.bodies] == [0, 0]
    assert all(body.closed for _, body in bucket.bodies)


def texts(core: Core, experiment: str) -> list[str]:
    return [item["text"] for item in read_logs.logs(core, experiment, 0, 1000)["items"]]


def of_an_earlier_version(world: CoreWorld) -> tuple[str, list[str]]:
    """An experiment whose logs were moved uncompressed, and the keys of their objects."""
    experiment = printed(world, lines=100)
    keys = []
    for key in list(world.core.files.keys("logs/")):
        with world.core.store.transaction() as session:
            segments = logs.segments_of_object(session, experiment, key)
            starts = range(0, len(segments) * len(LINE), len(LINE))
            plain = key.rpartition("-")[0]
            moved = [MovedSegment(experiment, row.seq, start) for row, start in zip(segments, starts, strict=True)]
            logs.moved(session, plain, moved)
        world.core.files.put(plain, io.BytesIO(LINE.encode() * len(segments)))
        world.core.files.delete(key)
        keys.append(plain)
    return experiment, keys


def test_a_long_log_is_stored_compressed_and_any_tool_can_read_it(world: CoreWorld, core: Core) -> None:
    printed(world, lines=100)
    for key in core.files.keys("logs/"):
        assert key.endswith(".gz") and (core.files.size(key) or 0) < 0.8 * 100 * len(LINE)
        with core.files.open(key) as file:
            assert gzip.decompress(file.read()) == LINE.encode() * 100


def test_logs_that_an_earlier_version_moved_are_read_as_they_are_and_compressed_later(world: CoreWorld) -> None:
    experiment, keys = of_an_earlier_version(world)
    before = texts(world.core, experiment)
    assert before == [LINE] * 200
    collection = GarbageCollection(world.core)
    world.clock.pass_time(60.0)
    collection.tick()
    assert [key.rpartition("-")[0] for key in world.core.files.keys("logs/")] == keys, "compressed forms alone"
    assert texts(world.core, experiment) == before


@pytest.mark.parametrize("step", ["put", "moved", "delete"])
def test_a_server_that_dies_while_it_compresses_a_log_loses_nothing(
    world: CoreWorld, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    experiment, keys = of_an_earlier_version(world)

    def dies(*_: object) -> None:
        raise StoreUnavailable("the server dies")

    with monkeypatch.context() as broken:
        broken.setattr(logs if step == "moved" else world.core.files, step, dies)
        for key in keys:
            with pytest.raises(StoreUnavailable):
                log_objects.compress(world.core, key)
        assert texts(world.core, experiment) == [LINE] * 200
    for key in log_objects.uncompressed(world.core):
        log_objects.compress(world.core, key)
    assert [key.rpartition("-")[0] for key in world.core.files.keys("logs/")] == keys
    assert texts(world.core, experiment) == [LINE] * 200


def test_a_reader_of_rows_from_before_a_log_was_compressed_finds_its_bytes(world: CoreWorld) -> None:
    experiment, keys = of_an_earlier_version(world)
    with world.core.store.reading() as session:
        segments = [row for key in keys for row in logs.segments_of_object(session, experiment, key)]
    for key in keys:
        log_objects.compress(world.core, key)
    assert read_all(world.core.files, segments[90:110]) == [LINE.encode()] * 20


def test_an_object_that_no_row_names_yet_is_left_alone(world: CoreWorld) -> None:
    key = logs.object_key("attempt", "experiment", 0, 4)
    world.core.files.put(key, io.BytesIO(b"text"))
    log_objects.compress(world.core, key)
    assert list(world.core.files.keys("logs/")) == [key]


def test_a_damaged_object_hides_nothing_of_other_logs(world: CoreWorld) -> None:
    experiment = printed(world, lines=100)
    first, _ = world.core.files.keys("logs/")
    with world.core.files.open(first) as file:
        content = file.read()
    world.core.files.delete(first)
    world.core.files.put(first, io.BytesIO(content[: len(content) // 2]))
    lines = texts(world.core, experiment)
    missing = "orchestune: 1,024 bytes of this log are missing in the server's file store\n"
    assert lines.count(LINE) >= 100 and lines.count(missing) > 10 and {*lines} == {LINE, missing}


def test_a_running_log_is_compressed_in_its_rows_and_grows(world: CoreWorld) -> None:
    experiment = world.create(budget=1)
    [(worker, lease)] = world.lease()
    beat, at = worker.started(lease), 0
    for text in ("short\n", "epoch 1 loss 0.5\n" * 100, LINE):
        worker.call(beats=[beat | {"logs": [[at, text, 0]]}])
        at += len(text)
    assert texts(world.core, experiment) == ["short\n", "epoch 1 loss 0.5\n" * 100, LINE]
    with world.core.store.reading() as session:
        sizes = session.select(select(func.length(log_segments.c.data)), int)
    assert sizes[0] == 6 and sizes[1] < 170
