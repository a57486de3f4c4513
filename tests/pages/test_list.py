"""A list of many experiments: searched and sorted by the server, a page at a time."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, for_everybody
from tests.testbeds.seed import ACCURACY, SGD, Plan, Writer, core_of

MANY = 230


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """A server with many experiments; every tenth is called so."""
    new_core, chance = core_of(tmp_path_factory.mktemp("many")), random.Random(5)
    for place in range(MANY):
        name = f"{'tenth' if place % 10 == 0 else 'other'} {place:03}"
        plan = Plan(name, SGD, ACCURACY, lambda values, chance: ("completed", {"accuracy": 0.5}, None),
                    1, 5, state="pending" if place % 2 else "completed", ago=5000.0 - place)  # fmt: skip
        Writer(new_core.store, plan, chance).write()
    yield new_core
    new_core.store.close()


@pytest.fixture(scope="module")
def handles(core: Core) -> dict[str, str]:
    return {}


def test_the_list_is_turned_over_searched_and_sorted_as_a_whole(open_page: OpenPage) -> None:
    page = open_page("/experiments")
    names, pages = page.locator("td.name > a"), page.get_by_role("navigation", name="Pages of the list")
    expect(names).to_have_count(100)
    expect(names.first).to_have_text("other 229")
    expect(pages).to_contain_text("1 to 100 of 230")
    for_everybody(page)
    pages.get_by_role("button", name="Next").click()
    expect(names.first).to_have_text("other 129")
    pages.get_by_role("button", name="Next").click()
    expect(pages).to_contain_text("201 to 230 of 230")
    expect(pages.get_by_role("button", name="Next")).to_be_disabled()
    expect(page).to_have_url(re.compile("page=3"))
    page.go_back()
    expect(names.first).to_have_text("other 129")
    page.get_by_role("button", name="Experiment", exact=True).click()  # by name, from the beginning
    expect(names.first).to_have_text("other 001")
    expect(pages).to_contain_text("1 to 100 of 230")
    page.get_by_label("Search experiments").fill("tenth")
    expect(names).to_have_text([f"tenth {place:03}" for place in range(0, MANY, 10)])
    expect(page.get_by_role("status").filter(has_text="23 of 230")).to_be_visible()
    expect(pages).to_be_hidden()
    page.go_back()
    page.go_forward()
    page.reload()
    expect(names).to_have_count(23)


def test_experiments_of_several_pages_are_chosen_together(open_page: OpenPage, client: Client) -> None:
    page = open_page("/experiments?state=pending")
    names = page.locator("td.name > a")
    expect(names.first).to_have_text("other 229")
    page.get_by_role("row").filter(has_text="other 229").get_by_role("checkbox").check()
    page.get_by_role("button", name="Next").click()
    expect(names.first).to_have_text("other 029")
    page.get_by_role("row").filter(has_text="other 001").get_by_role("checkbox").check()
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    expect(page.locator("#notes")).to_contain_text("pausing 2 experiments")
    assert {item["name"] for item in client.experiments(limit=None) if item["desired"] == "paused"} == {
        "other 229",
        "other 001",
    }


def test_a_page_behind_the_end_leads_back(open_page: OpenPage) -> None:
    page = open_page("/experiments?page=7")
    expect(page.get_by_text("No experiments on this page")).to_be_visible()
    page.get_by_role("button", name="Show all experiments").click()
    expect(page.locator("td.name > a")).to_have_count(100)
