"""Specifications that are looked at again and again are read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from orchestune.domain.search.space import Space
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.store import experiments


class Read:
    """Counts what is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, read = 0, Specification.from_json

        def counted(document: Mapping[str, Any]) -> Specification:
            self.count += 1
            return read(document)

        monkeypatch.setattr(Specification, "from_json", counted)


def texts(count: int, length: int) -> list[str]:
    made = (Specification(f"{n} {'x' * length}", "true", Space(()), (Metric("loss", "minimize"),), 1)
            for n in range(count))  # fmt: skip
    return [json.dumps(each.to_json()) for each in made]


def look(found: list[str]) -> None:
    for text in found:
        assert experiments.read_specification(text).name in text


def test_those_of_a_thousand_experiments_that_go_on_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, found = Read(monkeypatch), texts(1000, 0)
    for _ in range(3):
        look(found)
    assert read.count == 1000


def test_of_very_long_ones_few_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    read, found = Read(monkeypatch), texts(400, 100_000)
    look(found)
    look(found[-20:])
    assert read.count == 400
    look(found[:20])
    assert read.count == 420
