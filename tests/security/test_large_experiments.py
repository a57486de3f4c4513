"""Attack: an editor stores large experiments. The controllers and lists of the server stay within its memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from orchestune.config.document.kinds import MAX_ENTRIES
from orchestune.config.sections.template import MAX_BYTES
from orchestune.domain.specification.experiment import TEST_LABEL
from orchestune.services.commands import size_limits
from orchestune.services.queries import read_experiments
from orchestune.store import experiment_lists, experiments, specifications
from orchestune.store.specifications import _ParsedSpecifications
from tests.contract.code_contract import put
from tests.contract.world import CoreWorld
from tests.security.target import OWNER, SPECIFICATION, Target
from tests.unit.server.harness import Reply, live

MEBIBYTE = 2**20


@pytest.fixture
def target(world: CoreWorld) -> Iterator[Target]:
    with live(world.core) as server:
        yield Target(world, server)


def message(reply: Reply) -> str:
    return str(reply.json()["error"]["message"])


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"launch": {"env": {}, "note": "x" * size_limits.MAX_LAUNCH_BYTES}}, "the environment of the shell"),
        ({"launch": {"env": {"A": "x" * size_limits.MAX_LAUNCH_BYTES}}}, "the environment of the shell"),
        ({"specification": {"run": "x" * size_limits.MAX_SPECIFICATION_BYTES}}, "the specification"),
        ({"specification": {"stdin": "x" * size_limits.MAX_SPECIFICATION_BYTES}}, "the specification"),
        ({"specification": {"labels": {str(n): "x" * 1000 for n in range(10)}}}, "labels"),
        (
            {"specification": {"metrics": [{"name": f"m{n}", "goal": "minimize"} for n in range(MAX_ENTRIES)]}},
            "metrics",
        ),
    ],
    ids=["unknown key", "variable", "command", "stdin", "labels", "metrics"],
)
def test_large_parts_of_an_experiment_are_refused(target: Target, fields: dict[str, Any], place: str) -> None:
    fields = {**fields, "specification": {**SPECIFICATION, **fields.get("specification", {})}}
    reply = target.create(target.token("eve", "editor"), **fields)
    assert reply.status == 413 and message(reply).startswith(place), reply.body


@pytest.mark.parametrize("character", ['"', "é", "€", "😀"])
def test_the_largest_config_file_with_every_character_escaped_is_accepted(target: Target, character: str) -> None:
    config = {"name": "c.json", "parts": [character * (MAX_BYTES // len(character.encode()))]}
    reply = target.create(specification={**SPECIFICATION, "config": config})
    assert reply.status == 201, reply.body


def test_later_changes_have_the_same_limits(target: Target) -> None:
    world, editor = target.world, target.token("eve", "editor")
    bundle = put(world, b"1")
    path = f"/api/v1/experiments/{world.create()}"
    body = {"bundle": bundle, "launch": {"root": "/" + "x" * size_limits.MAX_LAUNCH_BYTES}}
    assert target.server.ask("PUT", f"{path}/code", body, token=editor).status == 413
    labels = {str(n): "x" * 1000 for n in range(10)}
    assert target.server.ask("PATCH", path, {"labels": labels}, token=editor).status == 413
    assert target.server.ask("PATCH", path, {"labels": {"a": "b"}}, token=editor).status == 200


def test_an_experiment_has_a_bounded_number_of_revisions(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request of 90 bytes stores the whole specification and launch again."""
    monkeypatch.setattr(size_limits, "MAX_REVISIONS", 3)
    world = target.world
    path = f"/api/v1/experiments/{world.create()}/code"
    bundles = [put(world, content) for content in (b"1", b"2")]
    statuses = [target.server.ask("PUT", path, {"bundle": bundles[n % 2]}, token=OWNER).status for n in range(3)]
    assert statuses == [200, 200, 409]


def test_unfinished_experiments_of_an_owner_are_bounded_and_others_create_theirs(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_limits, "MAX_UNFINISHED_BYTES_OF_OWNER", 20_000)
    eve, ada = target.token("eve", "editor"), target.token("ada", "editor")
    specification = {**SPECIFICATION, "run": "echo " + "x" * 6000}
    replies = [target.create(eve, specification=specification) for _ in range(4)]
    assert [reply.status for reply in replies] == [201, 201, 409, 409], replies[-1].body
    assert "of 'eve'" in message(replies[-1])
    assert target.create(ada, specification=specification).status == 201
    paths = [f"/api/v1/experiments/{reply.json()['handle']}" for reply in replies[:2]]
    for path in paths:
        assert target.server.ask("POST", f"{path}/stop", {}, token=eve).status == 200
    target.world.tick()
    assert target.create(eve, specification=specification).status == 201
    assert target.create(eve, specification=specification).status == 201
    # stopped experiments that are resumed or extended count again
    assert target.server.ask("POST", f"{paths[0]}/resume", {}, token=eve).status == 409
    assert target.server.ask("PATCH", paths[1], {"budget": 50}, token=eve).status == 409


def test_claimed_names_do_not_pass_the_limit_of_all(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits, "MAX_UNFINISHED_BYTES", 20_000)
    specification = {**SPECIFICATION, "run": "echo " + "x" * 6000}
    replies = [target.create(specification=specification, owner=f"eve-{n}") for n in range(4)]
    assert [reply.status for reply in replies] == [201, 201, 409, 409] and "all owners" in message(replies[-1])


def fill(world: CoreWorld, count: int) -> None:
    """Create experiments of half a MiB; their specifications differ, so that no cache holds all."""
    for number in range(count):
        world.create(run=f"echo {number} " + "x" * (MEBIBYTE // 2 - 2000))


def peak(world: CoreWorld, read: str) -> int:
    """Return the most bytes that one read allocates."""
    tracemalloc.start()
    try:
        if read == "list":
            read_experiments.statuses(world.core, limit=500)
        elif read == "labels":
            with world.core.store.reading() as session:
                experiment_lists.labelled(session, TEST_LABEL)
        else:
            with world.core.store.reading() as session, pytest.raises(Exception, match=r"could be|there is no"):
                experiments.find(session, read)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reads_hold_few_large_rows_at_once(world: CoreWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight reads of the prefix '0' by a viewer, which fits every id, exceeded the memory of a server."""
    monkeypatch.setattr(specifications, "_PARSED", _ParsedSpecifications(MEBIBYTE))
    monkeypatch.setattr(size_limits, "MAX_UNFINISHED_BYTES_OF_OWNER", 2**30)
    fill(world, 60)
    assert peak(world, "0") < 2 * MEBIBYTE
    assert peak(world, "labels") < 2 * MEBIBYTE
    assert peak(world, "list") < 40 * MEBIBYTE


def test_parsed_specifications_are_bounded_by_their_length() -> None:
    cache = _ParsedSpecifications(2500)
    document = {**SPECIFICATION, "run": "x"}
    texts = [json.dumps({**document, "run": str(n)}).ljust(1000) for n in range(3)]
    parsed = [cache.get(text) for text in texts]
    assert cache.get(texts[1]) is parsed[1] and cache.get(texts[2]) is parsed[2]
    assert cache.get(texts[0]) is not parsed[0]


def test_a_name_is_found_among_many_newer_ones_with_the_same_beginning(world: CoreWorld) -> None:
    whole = world.create(name="sgd")
    for _ in range(8):
        world.create(name="sgd-large")
    with world.core.store.reading() as session:
        assert experiments.find(session, "sgd").id == whole


def test_an_owner_has_a_bounded_number_of_unfinished_experiments(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_limits, "MAX_UNFINISHED_COUNT_OF_OWNER", 2)
    eve, ada = target.token("eve", "editor"), target.token("ada", "editor")
    replies = [target.create(eve) for _ in range(3)]
    assert [reply.status for reply in replies] == [201, 201, 409] and "of 'eve'" in message(replies[-1])
    assert target.create(ada).status == 201
