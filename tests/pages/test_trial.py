"""The page of one trial: what it used while it ran."""

from __future__ import annotations

import json
import random
import re

from playwright.sync_api import Locator, expect
from sqlalchemy import insert, select, update

from orchestune.services.core import Core
from orchestune.store import attempts, experiments, tables
from orchestune.store.statements.attempts import SELECT_USAGE, UPSERT_USAGE
from tests.pages.conftest import OpenPage, for_everybody
from tests.testbeds.seed import ACCURACY, HOSTILE, SGD, Plan, Writer

RUNNING = 60
"""a trial of `image model` that runs"""


def test_processors_memory_and_cards_are_drawn_over_time(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['image model']}/trials/3")
    card = page.get_by_role("region", name="Resources")
    for name, pattern in (
        ("CPU over time", r"cores at the end, 2\.8 cores at most"),
        ("Memory over time", r"1\.6 GiB at the end"),
        ("GPU over time", "% at the end, 90 % at most"),
        ("GPU memory over time", r"9\.0 GiB at the end"),
    ):
        expect(card.get_by_role("img", name=re.compile(f"^{name}: .*{pattern}"))).to_be_visible()
    for_everybody(page)


def test_what_was_not_measured_is_not_drawn(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['broken script']}/trials/3")
    expect(page.get_by_role("region", name="Attempts")).to_be_visible()
    expect(page.get_by_role("region", name="Resources")).to_be_hidden()


def test_what_a_running_trial_uses_is_drawn_as_it_comes(
    open_page: OpenPage, handles: dict[str, str], core: Core
) -> None:
    page = open_page(f"/experiments/{handles['image model']}/trials/{RUNNING}")
    memory = page.get_by_role("img", name=re.compile("^Memory over time: "))
    expect(memory).to_be_visible()
    with core.store.transaction() as session:
        experiment = experiments.find(session, handles["image model"])
        attempt = attempts.of_trials(session, experiment.id, [RUNNING])[RUNNING][-1]
        usage_row = session.row(SELECT_USAGE, {"attempt": attempt.id})
        samples = [*json.loads(usage_row or "[]"), [60, 300.0, 1.0, 77 * 2**30, 0.5, 2**30]]
        row = {"attempt": attempt.id, "experiment": experiment.id, "samples": json.dumps(samples)}
        session.run(UPSERT_USAGE, row)
    expect(memory).to_have_attribute("aria-label", re.compile("77 GiB at the end"))
    page.close()


def test_values_that_differ_in_their_last_digit_are_drawn(open_page: OpenPage, core: Core) -> None:
    plan = Plan("alike", SGD, ACCURACY, lambda *_: ("completed", {"accuracy": 29 / 30}, None), 1, 1, steps=6)
    ref = Writer(core.store, plan, random.Random(1)).write()
    with core.store.transaction() as session:
        attempt = select(tables.attempts.c.id).where(tables.attempts.c.experiment == experiments.find(session, ref).id)
        for odd in (0, 1):
            mine = (tables.points.c.attempt.in_(attempt)) & (tables.points.c.sequence % 2 == odd)
            session.change(update(tables.points).where(mine).values(value=29 / 30 - odd * 2**-53))
    page = open_page(f"/experiments/{ref}/trials/1")
    expect(page.get_by_role("img", name="accuracy over steps: 1 curve of accuracy")).to_be_visible()
    texts = page.evaluate(
        """async () => {
            const loaded = performance.getEntriesByType("resource").find(({ name }) => name.endsWith("plot/scale.js"));
            const { fit, scale } = await import(loaded.name);
            const ranges = [[0.12345612, 0.12345634], [23456.7, 23456.702], [1, 1 + 1e-7], [0, 7e6], [3, 3], [0, 0]];
            return ranges.map((range) => scale(fit(range), 200, 0).ticks.map(({ text }) => text));
        }"""
    )
    assert all(len(labels) > 1 and len(set(labels)) == len(labels) for labels in texts), texts


def test_a_trial_that_waits_for_its_second_attempt_does_not_run(open_page: OpenPage, core: Core) -> None:
    plan = Plan("again", SGD, ACCURACY, lambda *_: ("completed", {"accuracy": 0.5}, None), 1, 2, 1, "running")
    ref = Writer(core.store, plan, random.Random(1)).write()
    with core.store.transaction() as session:
        mine = tables.trials.c.experiment == experiments.find(session, ref).id
        session.change(update(tables.trials).where(mine, tables.trials.c.number == 2).values(state="queued"))
    page = open_page(f"/experiments/{ref}/trials/2")
    expect(page.locator(".facts > div").filter(has_text="Duration")).to_contain_text("waiting")


def test_what_each_fold_came_to_is_told(open_page: OpenPage, handles: dict[str, str], core: Core) -> None:
    with core.store.transaction() as session:
        row = experiments.find(session, handles["one trial"])
        specification = {**json.loads(row.specification_json), "folds": {"count": 3}}
        where = tables.experiments.c.id == row.id
        session.change(update(tables.experiments).where(where).values(specification=json.dumps(specification)))
        for fold, value in ((1, 0.81), (2, 0.87)):
            metrics = json.dumps({"accuracy": {"value": value, "stddev": None}})
            task = {
                "experiment": row.id,
                "trial": 1,
                "fold": fold,
                "state": "done",
                "lease_token": 1,
                "metrics": metrics,
            }
            session.change(insert(tables.folds).values(**task))
    page = open_page(f"/experiments/{handles['one trial']}/trials/1")
    expect(page.get_by_role("log").locator(".who").first).to_have_text(re.compile(r"^\d\d:\d\d:\d\d fold 0$"))
    folds = page.get_by_role("region", name="Folds").get_by_role("row")
    expect(folds).to_have_count(4)
    expect(folds.nth(2)).to_contain_text("0.81")
    expect(folds.nth(3)).to_contain_text("0.87")
    for_everybody(page)


def test_the_time_and_the_memory_of_all_folds_are_told(
    open_page: OpenPage, handles: dict[str, str], core: Core
) -> None:
    with core.store.transaction() as session:
        row = experiments.find(session, handles["one trial"])
        where = (tables.attempts.c.experiment == row.id) & (tables.attempts.c.trial == 1)
        [first] = session.connection.execute(select(tables.attempts).where(where)).all()
        used = {"wall_seconds": 20.0, "cpu_seconds": 10.0, "peak_memory": 3 * 2**30}
        session.change(update(tables.attempts).where(where).values(**used))
        again = {**first._mapping, "id": f"{first.id}-1", "fold": 1, "attempt_number": first.attempt_number + 1}
        used = {"wall_seconds": 20.0, "cpu_seconds": 30.0, "peak_memory": 2**30}
        session.change(insert(tables.attempts).values(**{**again, **used}))
    page = open_page(f"/experiments/{handles['one trial']}/trials/1")
    expect(page.get_by_text("100 % of a core for each fold")).to_be_visible()
    expect(page.get_by_text("40 s", exact=True)).to_be_visible()
    expect(page.get_by_text("3.0 GiB", exact=True)).to_be_visible()


def test_no_way_leads_beyond_the_first_and_the_last_trial(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['one trial']}/trials/1")
    expect(page.get_by_role("heading", name="Trial 1")).to_be_visible()
    expect(page.get_by_role("link", name="Previous trial")).to_have_count(0)
    expect(page.get_by_role("link", name="Next trial")).to_have_count(0)


def is_in_view(box: Locator, part: Locator) -> bool:
    """Return True if the part is visible without scrolling its box sideways."""
    expect(part).to_be_visible()
    outer, inner = box.bounding_box(), part.bounding_box()
    assert outer is not None and inner is not None
    return inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1


def test_long_names_leave_room_for_what_stands_beside_them(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles[HOSTILE]}/trials/1")
    for name in ("Metrics", "Parameters", "Attempts"):
        box = page.get_by_role("region", name=name, exact=True).locator(".scroll")
        assert is_in_view(box, box.locator("tbody tr").first.locator("td").last), name
