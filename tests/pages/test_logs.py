"""The log of many trials: from a time on, and what a bar that moves leaves behind."""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage
from tests.testbeds.seed import ACCURACY, SGD, Plan, Writer
from tests.testbeds.stir import Stir

RUNNING = 60


def test_a_log_is_read_from_a_time_on_piece_by_piece(
    open_page: OpenPage, handles: dict[str, str], core: Core, client: Client
) -> None:
    stir = Stir(core, handles["image model"], RUNNING, lines=2000)
    begin = datetime.now(UTC) - timedelta(seconds=2)
    for _ in range(4):
        stir.step()
    page = open_page(f"/experiments/{handles['image model']}?tab=logs", timezone_id="UTC")
    log, follow = page.get_by_role("log"), page.get_by_label("Follow")
    expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1999 of step 4")
    page.get_by_label("From this time on").fill(begin.strftime("%Y-%m-%dT%H:%M:%S"))
    expect(log.locator("> div:not(.begun)").first).to_contain_text("line 0 of step 1")
    expect(follow).not_to_be_checked()
    later = page.get_by_role("button", name="Load later lines")
    later.click()
    expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1999 of step 4")
    expect(page.get_by_text("8,000 lines")).to_be_visible()
    expect(log.locator("> div:not(.begun)").first).to_contain_text("line 0 of step 1")
    expect(later).to_be_hidden()
    page.get_by_label("Search in the log").fill("line 7 of step 4")
    expect(page.get_by_text("1 of 8,000 lines")).to_be_visible()
    follow.check()
    page.get_by_label("Search in the log").fill("")
    stir.step()
    expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1999 of step 5")


def test_a_bar_that_moves_is_one_line(open_page: OpenPage, handles: dict[str, str], core: Core) -> None:
    stir = Stir(core, handles["image model"], RUNNING, lines=1)
    page = open_page(f"/experiments/{handles['image model']}/trials/{RUNNING}")
    log = page.get_by_role("log")
    expect(log).to_be_visible()
    for _ in range(3):
        stir.step()
    last = log.locator("> div:not(.begun)").last
    expect(last).to_contain_text(re.compile(r"line 0 of step 3$"))
    expect(log.locator(".begun")).to_have_text(re.compile("a bar that moves$"))
    assert log.inner_text().count("bar") == 1
    page.get_by_label("Search in the log").fill("step 2")
    expect(log.locator(".begun")).to_be_hidden()


def test_of_a_bar_that_came_to_its_end_at_once_its_end_is_shown(
    open_page: OpenPage, handles: dict[str, str], core: Core
) -> None:
    page = open_page(f"/experiments/{handles['image model']}/trials/{RUNNING}")
    log = page.get_by_role("log")
    expect(log).to_be_visible()
    bar = "\r".join(f"{n} of 3000" for n in range(1, 3001))  # longer than what is shown of a line
    Stir(core, handles["image model"], RUNNING).step(f"{bar}\r\nrun\rran \r\r\nafter\n")
    expect(log.locator("> div").last).to_contain_text("after")
    texts = log.locator("> div > span:last-child").evaluate_all("spans => spans.map((span) => span.textContent)")
    assert texts[-3:] == ["3000 of 3000", "ran ", "after"]


def test_of_what_is_written_for_a_terminal_the_words_are_shown(
    open_page: OpenPage, handles: dict[str, str], core: Core
) -> None:
    page = open_page(f"/experiments/{handles['image model']}/trials/{RUNNING}")
    log = page.get_by_role("log")
    expect(log).to_be_visible()
    bold, link = "\x1b[1;38:5:9mbold\x1b(B\x1b[m", "\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x07"
    Stir(core, handles["image model"], RUNNING).step(
        f"\x1b]0;title\x07\x1b7{bold} \x1b[3 q{link}\x1b[K [0] ]\x1b[?25h\n"
    )
    expect(log.locator("> div > span:last-child").last).to_have_text("bold link [0] ]")


def test_the_log_of_a_trial_that_is_over_begins_at_its_end(open_page: OpenPage, core: Core) -> None:
    log = "".join(f"line {number}\n" for number in range(200))
    plan = Plan("talks", SGD, ACCURACY, lambda _, chance: ("completed", {"accuracy": 1.0}, None), 1, 1, log=log)
    ref = Writer(core.store, plan, random.Random(3)).write()
    page = open_page(f"/experiments/{ref}/trials/1")
    panel = page.get_by_role("log")
    expect(panel.locator("> div")).to_have_count(200)
    expect(page.get_by_label("Follow")).to_be_checked()
    assert panel.evaluate("log => log.scrollTop > 0 && log.scrollHeight - log.scrollTop - log.clientHeight < 2")
