"""One stream for each page: what it brings, and that a page which was away misses nothing and sees nothing twice."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from playwright.sync_api import Page, Request, expect

from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.pages.conftest import OpenPage, Trouble, sign_in
from tests.testbeds.seed import core_of, seed, serve
from tests.testbeds.stir import Stir

RUNNING = 60


class Requests:
    """Return the list of requests that the page sends from now on."""

    def __init__(self, page: Page) -> None:
        self.streams: list[str] = []
        self.others: list[str] = []
        page.on("request", self._note)

    def _note(self, request: Request) -> None:
        urls = self.streams if "event-stream" in request.headers.get("accept", "") else self.others
        urls.append(request.url.partition("/api/v1")[2] or request.url)


def printed(page: Page) -> list[str]:
    """The lines of the log that `Stir` printed, as the page shows them."""
    return re.findall(r"line \d+ of step \d+", page.get_by_role("log").inner_text())


def expected_lines(first: int, last: int, lines: int) -> list[str]:
    return [f"line {line} of step {step}" for step in range(first, last + 1) for line in range(lines)]


@pytest.mark.parametrize("path", ["?tab=logs", f"/trials/{RUNNING}"])
def test_lines_come_by_the_stream_of_the_page(
    open_page: OpenPage, handles: Mapping[str, str], core: Core, path: str
) -> None:
    stir = Stir(core, handles["image model"], RUNNING, lines=3)
    page = open_page(f"/experiments/{handles['image model']}{path}")
    log = page.get_by_role("log")
    expect(log.locator("> div:not(.begun)").first).to_be_visible()
    before = len(printed(page))
    requests = Requests(page)
    for step in range(1, 4):
        stir.step()
        expect(log.locator("> div:not(.begun)").last).to_contain_text(f"line 2 of step {step}")
    assert printed(page)[before:] == expected_lines(1, 3, 3)
    assert requests.streams == []  # the one that was open continues
    assert [where for where in requests.others if "/logs" in where] == []


def test_a_comparison_hears_of_every_experiment_by_one_stream(
    open_page: OpenPage, handles: Mapping[str, str], client: Client
) -> None:
    both = [handles["image model"], handles["sgd classifier"]]
    page = open_page("/settings")  # which has no stream: another page might open its own only now
    requests = Requests(page)
    page.goto(f"{page.url.partition('/settings')[0]}/compare?experiments={','.join([*both, 'never-was'])}")
    row = page.get_by_role("row", name="Parallelism")
    expect(row).to_contain_text("8")
    expect(page.get_by_text("Not found: never-was.")).to_be_visible()
    assert len(requests.streams) == 1 and all(ref in requests.streams[0] for ref in both)
    requests.others.clear()
    client.change(both[0], parallelism=13)
    expect(row).to_contain_text("13")
    assert len(requests.streams) == 1 and requests.others == []
    client.change(both[0], parallelism=8)


@pytest.mark.parametrize("path", ["?tab=logs", f"/trials/{RUNNING}"])
def test_a_log_goes_on_behind_a_server_that_was_started_again(
    open_page: OpenPage, tmp_path_factory: pytest.TempPathFactory, trouble: Trouble, path: str
) -> None:
    trouble.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY")
    core = core_of(tmp_path_factory.mktemp("again"))
    handle = seed(core)["image model"]
    stir = Stir(core, handle, RUNNING, lines=2)
    page = open_page("/experiments")
    log, port = page.get_by_role("log"), 0
    for step in (2, 4, 6):
        with serve(core, port) as address:
            if not port:
                port = int(address.rpartition(":")[2])
                sign_in(page, address)
                page.goto(f"{address}/experiments/{handle}{path}")
            expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            stir.step()
            expect(log.locator("> div:not(.begun)").last).to_contain_text(f"line 1 of step {step - 1}")
        expect(page.locator("#connection")).to_have_attribute("data-state", "stale")
        stir.step()  # of which no page is notified yet
    with serve(core, port):
        expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1 of step 6")
        assert printed(page) == expected_lines(1, 6, 2)
        page.close()
    core.store.close()


def test_a_page_in_the_background_hears_what_it_missed_and_nothing_else(
    open_page: OpenPage, handles: Mapping[str, str], core: Core, client: Client
) -> None:
    ref = handles["image model"]
    stir = Stir(core, ref, RUNNING, lines=2)
    page = open_page(f"/experiments/{ref}?tab=logs")
    log = page.get_by_role("log")
    stir.step()
    expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1 of step 1")
    before = len(printed(page))
    hide(page, True)
    for _ in range(5):
        stir.step()
    page.wait_for_function("document.hidden")
    requests = Requests(page)
    hide(page, False)
    expect(log.locator("> div:not(.begun)").last).to_contain_text("line 1 of step 6")
    assert printed(page)[before:] == expected_lines(2, 6, 2)
    assert len(requests.streams) == 1 and "after=" in requests.streams[0]


def hide(page: Page, hidden: bool) -> None:
    """Put the page into the background, as far as it can tell."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )
