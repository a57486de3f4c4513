"""The worker builds its calls by hand, the server decodes them by types: both sides must name the same fields."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec

from orchestune import worker
from orchestune.domain.lifecycle.states import ReasonCode
from orchestune.wire import registration, work
from orchestune.worker import attempt as attempts
from orchestune.worker.connection.api import encoded
from orchestune.worker.connection.reporting import Reporting, UnsentReport
from orchestune.worker.metrics.points import PointQueue
from orchestune.worker.metrics.scanner import Reported
from orchestune.worker.metrics.usage import Sample, Series
from orchestune.worker.output import LogBuffer


def record(folder: Path, name: str) -> UnsentReport:
    """An attempt of which the server knows nothing yet: output, values of every kind, and a usage sample."""
    series = Series()
    series.add(0.0, Sample(at=100.0, cpu=5.0, memory=2**30))
    new = UnsentReport(name, 7, LogBuffer(1 << 20, folder / name), PointQueue(("loss",)), series)
    new.started = 1.0
    new.log.append("loss=1 \N{EURO SIGN}\n".encode() + b"\xff\n")
    new.points.add(
        [Reported("loss", 1.0, 3, 0.5), Reported("loss", math.nan, None, None), Reported("x", -math.inf, 4.5, None)]
    )
    return new


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def shipped(reporting: Reporting) -> tuple[dict[str, Any], work.Work]:
    shipment = reporting.ship()
    body = {"boot": "b", "beat": 1, "want": 0, "draining": False, "sending": 0, "live": reporting.live()}
    body |= {"beats": shipment.beats, "finished": shipment.finished}
    return body, work.decode(encoded(body))


def test_a_running_attempt_is_decoded_whole(tmp_path: Path) -> None:
    reporting = Reporting()
    reporting.add(record(tmp_path, "a"))
    body, decoded = shipped(reporting)
    assert decoded.rejected == () and set(body["beats"][0]) == fields(work.Heartbeat)
    (beat,) = decoded.beats
    assert b"".join(part.data for part in beat.logs) == "loss=1 \N{EURO SIGN}\n".encode() + b"\xff\n"
    points = [measurement.point() for measurement in beat.points]
    assert [(point.name, point.step, point.stddev) for point in points] == [
        ("loss", 3, 0.5),
        ("loss", None, None),
        ("x", 4.5, None),
    ]
    assert math.isnan(points[1].value) and points[2].value == -math.inf
    assert (beat.usage[0].memory, beat.usage[0].gpu_share, beat.started) == (2**30, None, True)


def test_an_attempt_that_ended_is_decoded_whole(tmp_path: Path) -> None:
    reporting = Reporting()
    ended = record(tmp_path, "a")
    reporting.add(ended)
    ended.log.close()
    ended.points.close()
    result = {
        "attempt": "a", "token": 7, "state": "failed", "exit_code": 1, "signal": None, "wall": 1.5, "cpu": 0.5,
        "reason": {"code": "exit_code", "message": "exit code 1"}, "memory": 1 << 20, "log_bytes": ended.log.end,
        "tail": "loss=1", "files": 2,
    }  # fmt: skip
    reporting.finish("a", result)
    body, decoded = shipped(reporting)
    assert decoded.rejected == () and set(body["finished"][0]) == fields(work.Finished)
    (end,) = decoded.finished
    assert (end.state, end.exit_code, end.files, len(end.points)) == (work.EndState.FAILED, 1, 2, 3)
    assert end.reason is not None and end.reason.code is ReasonCode.EXIT_CODE


def test_the_worker_names_no_other_fields_of_an_end(tmp_path: Path) -> None:
    """`Attempt.result` has every field of `Finished` but those that the report adds."""
    source = Path(attempts.__file__).read_text()
    body = source[source.index("def result") : source.index("def _peak_memory")]
    missing = [name for name in fields(work.Finished) - {"logs", "points", "usage"} if f'"{name}":' not in body]
    assert missing == []


def test_every_reason_of_the_worker_is_known_to_the_server() -> None:
    codes = set()
    for path in Path(attempts.__file__).parent.glob("*.py"):
        for line in path.read_text().split('"code": "')[1:]:
            codes.add(line.partition('"')[0])
    assert codes and codes <= set(ReasonCode)


def test_both_sides_speak_the_same_version() -> None:
    assert worker.PROTOCOL == registration.PROTOCOL


def test_what_the_spool_keeps_is_decoded_after_a_restart(tmp_path: Path) -> None:
    ended = record(tmp_path, "a")
    ended.points.close()
    stored = json.loads(json.dumps({"waiting": ended.points.to_json(), "deciding": ended.points.deciding}))
    points = PointQueue.restore(stored["waiting"], stored["deciding"])
    body = {"boot": "b", "beat": 1, "want": 0, "beats": [{"attempt": "a", "token": 7, "points": points.parts(10)[0]}]}
    assert work.decode(encoded(body)).rejected == ()
