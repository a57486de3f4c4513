"""Counted changes that a view has shown."""

from __future__ import annotations

import tracemalloc

import pytest

from orchestune.errors import BadInput
from orchestune.server import change_journal as module
from orchestune.server.change_journal import Journal, StreamPosition


def test_each_document_is_told_once_however_often_it_changed() -> None:
    journal = Journal()
    journal.update({"a": b"A1", "b": b"B1"})
    first = journal.number
    assert journal.since(0) == b"A1B1"
    journal.update({"a": b"A2", "b": b"B1"})
    journal.update({"a": b"A3", "b": b"B1"})
    assert journal.since(first) == b"A3"
    assert journal.since(journal.number) == b""


def test_nothing_new_counts_as_nothing() -> None:
    journal = Journal()
    journal.update({"a": b"A"})
    number = journal.number
    journal.update({"a": b"A"})
    assert journal.number == number


def test_what_went_away_is_told_to_whoever_saw_it_and_comes_back_as_new() -> None:
    journal = Journal()
    journal.update({"a": b"A", "b": b"B"})
    both = journal.number
    journal.update({"a": b"A"})
    assert journal.since(both) == b'event: gone\ndata: "b"\n\n'
    assert journal.since(0) == b"A"
    journal.update({"a": b"A", "b": b"B"})
    assert journal.since(both) == b"B"


def test_who_was_away_while_more_went_than_are_remembered_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_DELETED", 1)
    journal = Journal()
    journal.update({"a": b"A", "b": b"B"})
    place = StreamPosition(journal.name, journal.number)
    assert journal.can_resume(place)
    journal.update({"a": b"A"})
    assert journal.can_resume(place)
    journal.update({})
    assert not journal.can_resume(place)


def test_only_the_journal_itself_knows_a_place_in_it() -> None:
    journal, other = Journal(), Journal()
    journal.update({"a": b"A"})
    place = StreamPosition(journal.name, journal.number, 7)
    assert StreamPosition.parse(str(place)) == place
    assert journal.can_resume(place)
    assert not other.can_resume(place)
    assert not journal.can_resume(StreamPosition(journal.name, journal.number + 1))
    assert not journal.can_resume(None)


@pytest.mark.parametrize("text", ["7", "0123456z-1", "01234567-", "01234567-1-", "01234567-1-2-3", "01234567-٣"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        StreamPosition.parse(text)


def test_whoever_comes_back_from_everywhere_fills_no_memory() -> None:
    journal = Journal()
    for number in range(500):
        journal.update({f"e{place}": b"x" * 2000 + bytes(str(number), "ascii") for place in range(20)})
    tracemalloc.start()
    try:
        assert all(len(journal.since(number)) > 40_000 for number in range(1, 500))
        assert tracemalloc.get_traced_memory()[0] < 4 * 2**20
    finally:
        tracemalloc.stop()
