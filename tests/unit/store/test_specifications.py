"""Specifications that are looked at again and again are read once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from orchestune.domain.search.parameters import Parameter
from orchestune.domain.search.space import Space
from orchestune.domain.specification.experiment import Specification
from orchestune.domain.specification.metrics import Metric
from orchestune.store import specifications


class Read:
    """Counts what is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, read = 0, Specification.from_json

        def counted(document: Mapping[str, Any], **options: bool) -> Specification:
            self.count += 1
            return read(document, **options)

        monkeypatch.setattr(Specification, "from_json", counted)


def texts(count: int, length: int) -> list[str]:
    generated = (Specification(f"{n} {'x' * length}", "true", Space(()), (Metric("loss", "minimize"),), 1)
            for n in range(count))  # fmt: skip
    return [json.dumps(each.to_json()) for each in generated]


def look(documents: list[str]) -> None:
    for text in documents:
        assert specifications.read_specification(text).name in text


def test_those_of_a_thousand_experiments_that_go_on_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, documents = Read(monkeypatch), texts(1000, 0)
    for _ in range(3):
        look(documents)
    assert read.count == 1000


def test_of_very_long_ones_few_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specifications, "_PARSED", specifications._ParsedSpecifications(2_000_000))
    read, documents = Read(monkeypatch), texts(30, 100_000)
    look(documents)
    look(documents[-15:])
    assert read.count == 30
    look(documents[:10])
    assert read.count == 40


def test_hundreds_of_long_ones_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read, documents = Read(monkeypatch), texts(300, 50_000)
    for _ in range(2):
        look(documents)
    assert read.count == 300


def test_what_was_validated_before_it_was_stored_is_not_validated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = Parameter("p", "categorical", choices=("a", "b"))
    child = Parameter("q", "float", low=0.0, high=1.0, when=(("p", ("a",)),))
    space = Space.of((child, parent), ["q < 2"])
    specification = Specification("slow", "true", space, (Metric("loss", "minimize"),), 1)

    def refuse(_: Space) -> None:
        raise AssertionError("validated again")

    monkeypatch.setattr(Space, "problems", refuse)
    document = specification.to_json()
    assert specifications.read_specification(json.dumps(document)) == specification
    document["parameters"].reverse()  # as an imported record may have them
    assert specifications.read_specification(json.dumps(document)).space.parameters == (parent, child)
