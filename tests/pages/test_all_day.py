"""Pages that stay open: they neither grow nor fall behind, and say when what they show is old."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, Trouble, sign_in
from tests.testbeds.line import Line
from tests.testbeds.open_pages import EAGER, opened, paths
from tests.testbeds.seed import serve
from tests.testbeds.stir import Stir

RUNNING = 60
WARM, HALF = 100, 120
"""events that each page receives before it is measured, and in each half of the measurement"""
TIMEOUT = 400.0
"""seconds until each of ten pages has heard of so many: with all cores at work two minutes were not enough"""


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_no_page_grows_with_what_it_is_told(browser: Browser, core: Core, handles: Mapping[str, str]) -> None:
    """The second half of the events leaves no more behind than the noise of a measurement."""
    handle = handles["image model"]
    stir = Stir(core, handle, RUNNING, lines=60)
    with serve(core, pace=EAGER) as url, opened(browser, url, paths(handle, RUNNING), stir) as pages:
        pages.hear(WARM, TIMEOUT)
        first = pages.hear(HALF, TIMEOUT)
        second = pages.hear(HALF, TIMEOUT)
    for path in first:
        grown = second[path] - first[path]
        assert grown.nodes < HALF / 2, (path, grown)
        assert grown.listeners < HALF / 10, (path, grown)
        assert grown.heap < 3000 * HALF, (path, grown)


@pytest.mark.parametrize(("path", "raised"), [("/experiments/{}", "of at most 59"), ("/cluster", "of 59")])
def test_a_page_behind_a_network_that_fell_silent_says_so_and_catches_up(
    browser: Browser, url: str, client: Client, handles: Mapping[str, str], path: str, raised: str
) -> None:
    """As after a sleep: no connection is closed, nothing comes any more, and meanwhile much happens."""
    ref = handles["image model"]
    with Line("127.0.0.1", int(url.rpartition(":")[2])) as line:
        near = f"http://127.0.0.1:{line.port}"
        client.change(ref, parallelism=8)
        page = browser.new_page()
        page.clock.install()
        sign_in(page, near)
        page.goto(near + path.format(ref))
        connection, row = page.locator("#connection"), page.locator("main")
        expect(connection).to_have_attribute("data-state", "live")
        line.silence()
        for parallelism in range(20, 60):
            client.change(ref, parallelism=parallelism)
        page.clock.fast_forward(3_600_000)
        expect(connection).to_have_attribute("data-state", "stale")
        expect(row).not_to_contain_text(raised)
        line.mend()
        let_time_pass(page, re.compile(raised))
        expect(connection).to_have_attribute("data-state", "live")
        page.context.close()


def test_an_answer_that_a_silent_network_took_away_is_asked_for_again_once_it_is_back(
    browser: Browser, url: str, handles: Mapping[str, str]
) -> None:
    """Not only after the minutes for which an answer is waited for else."""
    with Line("127.0.0.1", int(url.rpartition(":")[2])) as line:
        near = f"http://127.0.0.1:{line.port}"
        page = browser.new_page()
        page.clock.install()
        sign_in(page, near)
        page.goto(f"{near}/experiments/{handles['size against speed']}?tab=analysis")
        history = page.get_by_role("region", name="History")
        expect(history.get_by_label(re.compile("best error"))).to_be_visible()
        routes: list[Route] = []

        def hold_the_first(route: Route) -> None:
            if routes:
                route.continue_()
            routes.append(route)

        page.route("**/columns?*", hold_the_first)
        page.get_by_label("Metric", exact=True).select_option("latency")
        for _ in range(100):
            page.clock.run_for(1000)
            page.wait_for_timeout(50)
            if routes:
                break
        assert routes, "its answer never comes"
        begun = page.evaluate("Date.now()")
        line.silence()
        page.clock.fast_forward(40_000)
        expect(page.locator("#connection")).to_have_attribute("data-state", "stale")
        line.mend()
        while not history.get_by_label(re.compile("best latency")).count():
            waited = page.evaluate("Date.now()") - begun
            assert waited < 110_000, "it still waits for the answer that was taken away: after two minutes it asks anew"
            page.wait_for_timeout(250)
        page.context.close()


def let_time_pass(page: Page, text: re.Pattern[str]) -> None:
    """Wait until the page shows it, while its clock runs."""
    for _ in range(100):
        page.clock.run_for(2000)
        if text.search(page.locator("main").inner_text()):
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.locator("main").inner_text())


def test_a_gateway_that_is_in_trouble_for_a_while_is_asked_again(
    open_page: OpenPage, handles: Mapping[str, str], trouble: Trouble
) -> None:
    trouble.expect("502|MIME type")
    address = re.compile(rf"/api/v1/experiments/{handles['sgd classifier']}$")
    page = open_page("/experiments")
    page.route(address, lambda route: route.fulfill(status=502, body="bad gateway"))
    page.goto(f"{page.url}/{handles['sgd classifier']}")
    expect(page.get_by_role("alert")).to_contain_text("The server responded with status 502")
    page.unroute(address)
    expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".facts")).to_contain_text("120 of 120")
