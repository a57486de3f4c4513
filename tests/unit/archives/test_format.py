"""The public record format: what is written fits the published schema, and version 1 stays readable."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import jsonschema_rs
import pytest

from orchestune.archives import format, record
from orchestune.services.commands import import_record
from orchestune.services.queries import export_record
from tests.contract.world import CoreWorld

SCHEMA = json.loads(Path(__file__).parents[3].joinpath("docs/reference/record.schema.json").read_text())
VERSION_1 = Path(__file__).with_name("record_v1.jsonl")
"""a record as the first release wrote it; never updated"""


@pytest.fixture
def world(tmp_path: Path) -> CoreWorld:
    return CoreWorld(tmp_path)


def lines(stream: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in gzip.decompress(stream.getvalue()).splitlines()]


def test_every_line_of_an_export_fits_the_published_schema(world: CoreWorld) -> None:
    experiment = world.create(budget=2, folds={"count": 2}, labels={"team": "vision"})
    world.run(experiment)
    stream = io.BytesIO()
    export_record.write(world.core, experiment, stream)
    validator = jsonschema_rs.validator_for(SCHEMA)
    written = lines(stream)
    for line in written:
        validator.validate(line)
    assert {line["type"] for line in written} >= {"record", "experiment", "revision", "trial", "fold", "attempt", "end"}
    world.close()


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    validator = jsonschema_rs.validator_for(SCHEMA)
    metric = {"type": "metric", "trial": 1, "name": "loss", "value": 0.5, "stddev": None, "is_declared": True}
    assert validator.is_valid(metric)
    assert isinstance(format.decode(json.dumps(metric).encode()), format.MetricItem)
    for wrong in ({"value": "0.5"}, {"trial": -1}, {"type": "row"}, {"more": 1}):
        assert not validator.is_valid(metric | wrong)
        with pytest.raises(format.ERRORS):
            format.decode(json.dumps(metric | wrong).encode())


def test_a_record_of_version_1_is_imported_as_it_was(world: CoreWorld) -> None:
    stream = io.BytesIO(gzip.compress(VERSION_1.read_bytes()))
    digest = record.verify(stream).digest
    placed = import_record.read(world.core, stream, digest)
    status = world.status(placed["experiment"])
    assert (status["state"], status["counts"]["completed"], status["counts"]["failed"]) == ("completed", 2, 1)
    first, second, third = world.trials(placed["experiment"])
    assert first["reason"]["code"] == "metric_not_finite"
    assert [trial["state"] for trial in (second, third)] == ["completed", "completed"]
    assert status["best"][0]["metrics"]["loss"]["value"] == min(
        trial["metrics"]["loss"]["value"] for trial in (second, third)
    )
    again = io.BytesIO()
    export_record.write(world.core, placed["experiment"], again)
    before = [json.loads(line) for line in VERSION_1.read_text().splitlines()]
    documents = [line for line in lines(again) if line["type"] not in ("record", "end", "experiment", "worker")]
    assert documents == [line for line in before if line["type"] not in ("record", "end", "experiment", "worker")]
    world.close()
