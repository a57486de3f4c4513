"""What a worker could not tell before it ended, and its next life tells."""

from __future__ import annotations

import json
from pathlib import Path

from orchestune.worker.metrics import Reported
from orchestune.worker.output import Log
from orchestune.worker.points import Points
from orchestune.worker.reporting import Record, Reporting
from orchestune.worker.spool import Spool
from orchestune.worker.usage import Sample, Series


def finished(spool: Spool) -> Record:
    """An attempt that is over, and of which the server knows nothing."""
    usage = Series()
    usage.add(100.0, Sample(110.0, 5.0, 1000))
    record = Record("a1", 3, Log(1 << 20, spool.log_file("a1")), Points(["loss"]), usage)
    record.points.add([Reported("loss", 0.5, 1.0, None)])
    record.log.append(b"step 1\n")
    record.log.close()
    record.result = {"attempt": "a1", "token": 3, "state": "succeeded"}
    return record


def shipped(record: Record) -> dict[str, object]:
    """What the next call says of its end."""
    reporting = Reporting()
    reporting.add(record)
    [item] = reporting.ship().finished
    return dict(item)


def test_the_end_of_an_attempt_is_told_by_the_next_life_as_the_first_one_would_have(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    record = finished(spool)
    told = shipped(record)
    spool.save(record)
    [again] = Spool(tmp_path).load()
    assert shipped(again) == told
    assert told["usage"] == [[0, 10.0, 0.5, 1000, None, None]]


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
