"""Logs that were moved to the place of files are read from there once, and no more of them than is wanted."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from orchestune.controllers import garbage_collection
from orchestune.controllers.garbage_collection import GarbageCollection
from orchestune.files.folder import FolderFiles
from orchestune.services.core import Core
from orchestune.services.queries import export_record, read_logs
from tests.contract.world import CoreWorld

LINE = "x" * 1023 + "\n"


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
    page = read_logs.logs(core, experiment, 0, 120)
    rest = read_logs.logs(core, experiment, page["next"], 120)
    items = page["items"] + rest["items"]
    assert [(item["trial"], item["text"]) for item in items] == [(1, LINE), (2, LINE)] * 100
    assert [start for start, _ in bucket.bodies] == [0, 0, 60 * len(LINE), 60 * len(LINE)]


def test_a_log_of_very_many_segments_is_moved_in_several_objects(
    world: CoreWorld, core: Core, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage_collection, "_MAX_SEGMENTS", 40)
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
