"""Reports that a worker could not send before it ended are sent by its next process."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from orchestune.worker.connection.reporting import MAX_ATTEMPT_POINTS, Reporting, UnsentReport
from orchestune.worker.files.spool import Spool
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.scanner import Reported
from orchestune.worker.metrics.usage import Sample, Series
from orchestune.worker.output import LogBuffer


def finished(spool: Spool) -> UnsentReport:
    """An attempt that is over, and of which the server knows nothing."""
    usage = Series()
    usage.add(100.0, Sample(110.0, 5.0, 1000))
    record = UnsentReport("a1", 3, LogBuffer(1 << 20, spool.log_file("a1")), PointQueue(["loss"]), usage)
    record.points.add([Reported("loss", 0.5, 1.0, None)])
    record.log.append(b"step 1\n")
    record.log.close()
    record.result = {"attempt": "a1", "token": 3, "state": "succeeded"}
    return record


def shipped(record: UnsentReport) -> dict[str, object]:
    """Return the report of its end in the next call."""
    reporting = Reporting()
    reporting.add(record)
    [item] = reporting.ship().finished
    return dict(item)


def test_the_end_of_an_attempt_is_told_by_the_next_life_as_the_first_one_would_have(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    record = finished(spool)
    requests = shipped(record)
    spool.save(record)
    [again] = Spool(tmp_path).load()
    assert shipped(again) == requests
    assert requests["usage"] == [[0, 10.0, 0.5, 1000, None, None]]


def test_what_an_earlier_version_wrote_down_is_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.save(finished(spool))
    file = tmp_path / "a1.json"
    document = json.loads(file.read_text())
    del document["usage"]
    file.write_text(json.dumps(document))
    [again] = Spool(tmp_path).load()
    assert "usage" not in shipped(again)
    assert again.result == {"attempt": "a1", "token": 3, "state": "succeeded"}


def test_an_end_whose_log_went_before_its_points_outlives_another_end_of_the_worker(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    record = finished(spool)
    record.points.add(Reported("x", float(index), None, None) for index in range(MAX_ATTEMPT_POINTS))
    spool.save(record)
    reporting = Reporting()
    reporting.add(record)
    shipment = reporting.ship()
    assert not shipment.finished and shipment.beats[0]["logs"]
    reporting.acknowledge(shipment, [{"attempt": "a1", "result": "ok"}])
    [again] = Spool(tmp_path).load()
    assert again.result == record.result and again.log.waiting == 7


@pytest.mark.parametrize("size", [None, 3])
def test_a_log_that_the_disk_lost_costs_nothing_else(tmp_path: Path, size: int | None) -> None:
    spool = Spool(tmp_path)
    spool.save(finished(spool))
    file = spool.log_file("a1")
    if size is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:size])
    [again] = Spool(tmp_path).load()
    reporting = Reporting()
    reporting.add(again)
    shipment = reporting.ship()
    [item] = shipment.finished
    assert item["logs"] == ([[0, "ste", 0]] if size else [])
    reporting.acknowledge(shipment, [{"attempt": "a1", "result": "ok"}])
    assert reporting.pop_reported() == [again]


def test_a_last_value_that_is_not_finite_decides_after_another_life_too(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    record = finished(spool)
    record.points.add([Reported("loss", math.nan, 2.0, None)])
    record.points.add(Reported("x", float(index), None, None) for index in range(MAX_ATTEMPT_POINTS))
    record.points.close()
    spool.save(record)
    [again] = Spool(tmp_path).load()
    reporting = Reporting()
    reporting.add(again)
    reporting.acknowledge(reporting.ship(), [])
    assert [1, "loss", "nan", 2.0, None] in shipped(again)["points"]  # type: ignore[operator]


def test_the_log_of_an_end_that_cannot_be_read_is_put_aside_with_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.save(finished(spool))
    (tmp_path / "a1.json").write_text('{"attempt": "a1"')
    (tmp_path / "of-nobody.log").touch()
    for _ in range(2):
        assert Spool(tmp_path).load() == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a1.bad", "a1.log"]
