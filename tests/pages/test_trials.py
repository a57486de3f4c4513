"""The table of trials while trials come and change."""

from __future__ import annotations

import random
import re

from playwright.sync_api import Page, Route, expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from orchestune.store import attempts, experiments
from orchestune.store.statements.points import INSERT_POINT
from tests.pages.conftest import OpenPage, Trouble, for_everybody, no_more_time_passes
from tests.testbeds.seed import ACCURACY, SGD, Plan, Writer

MARK = "element => { element.mark = true; }"
MARKED = "element => element.mark === true"


def first_numbers(page: Page, count: int) -> list[str]:
    """The trials in the first rows."""
    return page.locator(".virtual tbody tr:not(.space) td:first-child").all_text_contents()[:count]


def queue(client: Client, ref: str) -> int:
    """One more trial, which is the first one of the table."""
    parameters = client.trial(ref, 3)["parameters"]
    return int(client._send("POST", f"/experiments/{ref}/trials", {"parameters": parameters})["number"])


def test_rows_stay_where_they_are_while_somebody_is_at_one(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}?tab=trials")
    waiting = queue(client, ref)
    row = page.get_by_role("row").filter(has=page.get_by_label(f"Compare trial {waiting}", exact=True))
    box = row.get_by_role("checkbox")
    box.focus()
    row.evaluate(MARK)
    before = first_numbers(page, 5)
    page.evaluate(
        """() => {
            const cell = document.querySelector('.virtual tbody tr:not(.space) td:nth-child(4)');
            getSelection().selectAllChildren(cell);
        }"""
    )
    chosen = page.evaluate("getSelection().toString()")
    assert chosen
    client.stop_trial(ref, waiting)
    expect(row.locator(".state")).to_have_text("cancelled")  # it changes in its place
    new = queue(client, ref)
    show = page.get_by_role("button", name="Show new trials")
    expect(show).to_be_visible()
    assert first_numbers(page, 5) == before
    expect(box).to_be_focused()
    assert row.evaluate(MARKED)
    assert page.evaluate("getSelection().toString()") == chosen
    show.click()
    expect(page.locator(".virtual tbody tr:not(.space) td:first-child").first).to_have_text(str(new))
    assert row.evaluate(MARKED)  # the same element, one row below
    expect(show).to_be_hidden()


def test_who_sorts_again_waits_for_nothing(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=trials")
    no_more_time_passes(page, page.get_by_text("120 trials"))
    for name in ("accuracy", "Duration", "accuracy"):
        heading = page.get_by_role("columnheader", name=name)
        heading.get_by_role("button").press("Enter")
        expect(heading).to_have_attribute("aria-sort", "descending")


def test_who_sorts_by_keyboard_stays_at_the_heading(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=trials")
    heading = page.get_by_role("columnheader", name="accuracy")
    button = heading.get_by_role("button")
    for way in ("descending", "ascending"):
        button.press("Enter")
        expect(heading).to_have_attribute("aria-sort", way)
        expect(button).to_be_focused()


def test_each_trial_is_exported_once_though_others_come_meanwhile(
    open_page: OpenPage, client: Client, core: Core
) -> None:
    plan = Plan(
        "growing", SGD, ACCURACY, lambda _, chance: ("completed", {"accuracy": chance.random()}, None), 1050, 2000,
        running=1, state="running",
    )  # fmt: skip
    ref = Writer(core.store, plan, random.Random(3)).write()
    page = open_page(f"/experiments/{ref}?tab=trials")
    expect(page.get_by_text("1,051 trials")).to_be_visible()

    def second(route: Route) -> None:
        queue(client, ref)
        route.continue_()

    page.route(re.compile("offset=1000&limit=1000"), second)
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    numbers = [line.partition(",")[0] for line in download.value.path().read_text().splitlines()[1:]]
    assert numbers == [str(number) for number in range(1051, 0, -1)]


def test_rows_follow_at_once_where_nobody_is_at_them(
    open_page: OpenPage, handles: dict[str, str], client: Client
) -> None:
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}?tab=trials")
    first = page.locator(".virtual tbody tr:not(.space) td:first-child").first
    expect(first).to_have_text(re.compile(r"^\d+$"))
    new = queue(client, ref)
    expect(first).to_have_text(str(new))


def test_the_mouse_holds_a_row_until_it_leaves(open_page: OpenPage, handles: dict[str, str], client: Client) -> None:
    ref = handles["image model"]
    page = open_page(f"/experiments/{ref}?tab=trials")
    first = page.locator(".virtual tbody tr:not(.space) td:first-child").first
    expect(first).to_have_text(re.compile(r"^\d+$"))
    before = first.text_content()
    page.locator(".virtual tbody tr:not(.space)").nth(2).hover()
    new = queue(client, ref)
    expect(page.get_by_role("button", name="Show new trials")).to_be_visible()
    expect(first).to_have_text(str(before))
    page.mouse.move(5, 5)
    expect(first).to_have_text(str(new))


def test_trials_are_filtered_without_a_mouse(open_page: OpenPage, handles: dict[str, str]) -> None:
    page = open_page(f"/experiments/{handles['sgd classifier']}?tab=trials")
    dialog, rows = page.get_by_role("dialog"), page.locator(".virtual tbody tr:not(.space)")
    page.get_by_role("button", name="Filter…").press("Enter")
    dialog.get_by_label("Column").select_option(label="layers")
    dialog.get_by_label("At least").fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("layers: at least 7")).to_be_visible()
    page.get_by_role("button", name="Filter…").press("Enter")
    dialog.get_by_label("Column").select_option(label="penalty")
    for word in ("l1", "l2"):
        dialog.get_by_label(word, exact=True).press("Space")
    for_everybody(page)
    page.keyboard.press("Enter")
    expect(page.get_by_text("penalty: elasticnet")).to_be_visible()
    expect(rows.filter(has_not_text="elasticnet")).to_have_count(0)
    few = rows.count()
    assert 0 < few < 40
    page.reload()  # it stands in the address
    expect(rows).to_have_count(few)
    page.get_by_role("button", name="Show all values of layers").press("Enter")
    expect(page.get_by_text("layers: at least 7")).to_be_hidden()
    page.get_by_role("button", name="Show all values of penalty").press("Enter")
    expect(page.get_by_text("120 trials", exact=True)).to_be_visible()


def test_of_a_parameter_and_a_metric_of_one_name_each_column_is_hidden_by_itself(
    open_page: OpenPage, handles: dict[str, str], url: str
) -> None:
    def with_a_metric_alpha(route: Route) -> None:
        answer = route.fetch()
        page_of_trials = answer.json()
        for trial in page_of_trials["items"]:
            trial["metrics"]["alpha"] = {"value": 0.5, "stddev": None}
        route.fulfill(response=answer, json=page_of_trials)

    page = open_page("/experiments")
    page.route("**/trials?*", with_a_metric_alpha)
    page.goto(f"{url}/experiments/{handles['sgd classifier']}?tab=trials")
    alphas = page.locator(".virtual").get_by_role("columnheader", name="alpha", exact=True)
    expect(alphas).to_have_count(2)
    page.get_by_role("button", name="Columns").click()
    page.locator("input[name='parameters.alpha']").uncheck()
    page.get_by_role("button", name="Apply").click()
    expect(alphas).to_have_count(1)
    page.get_by_role("button", name="Columns").click()
    expect(page.locator("input[name='parameters.alpha']")).not_to_be_checked()
    expect(page.locator("input[name='metrics.alpha']")).to_be_checked()


def test_a_handle_is_written_as_it_is_where_there_is_no_such_trial(
    open_page: OpenPage, handles: dict[str, str], trouble: Trouble
) -> None:
    trouble.expect("404")
    ref = handles["sgd classifier"]
    page = open_page(f"/experiments/{ref}/trials/999")
    expect(page.get_by_text(re.compile(f"^{ref} has no trial 999"))).to_be_visible()


def report(core: Core, ref: str, trial: int, values: dict[float, float]) -> None:
    """Let a running trial report values of its metric, by step."""
    with core.store.transaction() as session:
        [attempt] = attempts.of_trials(session, experiments.find(session, ref).id, [trial])[trial]
        for step, value in values.items():
            row = {"attempt": attempt.id, "name": "accuracy", "sequence": int(step), "value": value, "step": step}
            session.run(INSERT_POINT, row | {"stddev": None, "at": 1.0})


def test_running_trials_show_their_latest_value_as_it_comes(open_page: OpenPage, core: Core) -> None:
    outcome = ("completed", {"accuracy": 0.5}, None)
    plan = Plan("first ones", SGD, ACCURACY, lambda *_: outcome, 0, 9, running=2, state="running")
    ref = Writer(core.store, plan, random.Random(3)).write()
    report(core, ref, 1, {1.0: 0.5, 2.0: 0.625})
    overview = open_page(f"/experiments/{ref}")
    row = overview.get_by_role("region", name="Running now").get_by_role("row").nth(1)
    expect(row).to_contain_text("0.625")
    expect(row.get_by_role("img", name="accuracy of trial 1 so far")).to_be_visible()
    expect(overview.get_by_text(re.compile("completed yet|not finished"))).to_have_count(0)
    table = open_page(f"/experiments/{ref}?tab=trials")
    link = table.get_by_role("link", name="1", exact=True)
    listed = table.get_by_role("region", name="Trials").get_by_role("row").filter(has=link)
    expect(listed).to_contain_text("0.625")
    expect(listed).to_contain_text("at step 2")
    report(core, ref, 1, {3.0: 0.75})
    expect(row).to_contain_text("0.75")
    expect(listed).to_contain_text("at step 3")
    for_everybody(overview)
