"""The list of experiments: searched, filtered and sorted on the server, a part at a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from orchestune.errors import BadInput, NotFound
from orchestune.services.commands import change_experiment
from orchestune.services.commands.change_experiment import Changes
from orchestune.services.core import Core
from orchestune.services.queries import list_experiments, read_experiments
from tests.testbeds.seed import ACCURACY, SGD, Plan, Writer, core_of

OWNERS = ("ada", "Émile")


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    new_core = core_of(tmp_path)
    yield new_core
    new_core.store.close()


@pytest.fixture
def names(core: Core) -> list[str]:
    """Thirty experiments, the oldest first, each with as many failed trials as it has in its name."""
    chance = random.Random(3)
    experiment_names = []
    for place in range(30):
        plan = Plan(
            f"Run {place:02}", SGD, ACCURACY, lambda values, chance: ("failed", {}, {"code": "x", "message": "x"}),
            finished=place % 7, budget=10, state="failed" if place % 3 else "completed",
            labels={"team": "a" if place % 2 else "b", "place": f"p{place:02}p"},
            owner=OWNERS[place % 2], ago=1000.0 - place,
        )  # fmt: skip
        Writer(core.store, plan, chance).write()
        experiment_names.append(plan.name)
    return experiment_names


def listed(core: Core, **filters: object) -> tuple[list[str], int]:
    answer = list_experiments.listed(core, **filters)  # type: ignore[arg-type]
    assert answer["known"] == 30
    return [item["name"] for item in answer["items"]], answer["total"]


def test_the_newest_come_first_a_part_at_a_time(core: Core, names: list[str]) -> None:
    assert listed(core, limit=4) == (names[::-1][:4], 30)
    assert listed(core, offset=28, limit=4) == (names[1::-1], 30)
    assert listed(core, offset=40, limit=4) == ([], 30)


def test_all_words_are_looked_for_in_names_owners_and_labels(core: Core, names: list[str]) -> None:
    assert listed(core, search="run p17p") == (["Run 17"], 1)
    assert listed(core, search="éMILE", limit=2) == (["Run 29", "Run 27"], 15)
    assert listed(core, search="team=b ada", limit=1) == (["Run 28"], 15)
    assert listed(core, search="team=a ada") == ([], 0)


def test_states_are_chosen(core: Core, names: list[str]) -> None:
    assert listed(core, state="completed", limit=3) == (["Run 27", "Run 24", "Run 21"], 10)


def test_columns_sort_both_ways_and_among_equals_the_newest_comes_first(core: Core, names: list[str]) -> None:
    assert listed(core, sort="-failed", limit=5)[0] == ["Run 27", "Run 20", "Run 13", "Run 06", "Run 26"]
    assert listed(core, sort="progress", limit=2)[0] == ["Run 28", "Run 21"]
    assert listed(core, sort="name", limit=2)[0] == ["Run 00", "Run 01"]
    assert listed(core, sort="-age", limit=2)[0] == ["Run 00", "Run 01"]
    assert listed(core, sort="-owner", limit=2)[0] == ["Run 29", "Run 27"]
    assert listed(core, sort="state", limit=1)[0] == ["Run 27"]
    with pytest.raises(BadInput, match="unknown sort order: 'size'"):
        listed(core, sort="size")


@pytest.mark.parametrize("details", [False, True])
def test_of_many_that_are_over_the_store_is_asked_as_often_as_of_few(core: Core, details: bool) -> None:
    statements: list[str] = []
    event.listen(core.store.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    counts = []
    for number in range(12):
        plan = Plan(
            f"Run {number:02}", SGD, ACCURACY,
            lambda values, chance: ("completed", {"accuracy": values["alpha"]}, None),
            finished=3 + number, budget=20, ago=1000.0 - number,
        )  # fmt: skip
        Writer(core.store, plan, random.Random(number)).write()
        statements.clear()
        items = read_experiments.statuses(core, details=details)["items"]
        counts.append(len(statements))
        assert [item["counts"]["completed"] for item in items] == [*range(3 + number, 2, -1)]
        for item in items:
            (best,) = item["best"]
            assert best == read_experiments.best(core, item["id"])[0]
            assert best["metrics"]["accuracy"]["value"] == best["parameters"]["alpha"]
            assert not details or len(item["workers"]) == 8
    assert len({*counts}) == 1


def test_those_that_are_named_come_in_the_order_of_their_names_as_far_as_they_are_there(
    core: Core, names: list[str]
) -> None:
    items = list_experiments.listed(core, limit=2)["items"]
    refs = [items[1]["handle"], "never-was", items[0]["id"], items[1]["id"]]
    assert [item["name"] for item in list_experiments.several(core, refs)] == ["Run 28", "Run 29"]
    with pytest.raises(NotFound):
        list_experiments.several(core, ["never-was"])


def test_what_is_over_is_shown_as_it_is_now(core: Core, names: list[str]) -> None:
    ref = list_experiments.listed(core, search="p21p")["items"][0]["handle"]
    for labels in ({"a": "1"}, {"a": "2"}):
        change_experiment.change_experiment(core, ref, Changes(labels=labels), "ada")
        assert list_experiments.several(core, [ref])[0]["labels"] == labels
        assert list_experiments.listed(core, search=f"a={labels['a']} run")["items"][0]["labels"] == labels


def test_what_was_deleted_is_in_no_list(core: Core, names: list[str]) -> None:
    last = list_experiments.listed(core, limit=1)["items"][0]
    change_experiment.delete(core, last["id"], False, "ada")
    answer = list_experiments.listed(core, limit=1)
    assert answer["items"][0]["name"] == "Run 28"
    assert (answer["total"], answer["known"]) == (29, 29)
    assert list_experiments.listed(core, limit=1, hidden=True)["total"] == 30
