"""A real Chromium before a seeded server."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.services.core import Core
from tests.testbeds.seed import TOKEN, serve

SHOTS = os.environ.get("ORCHESTUNE_SCREENSHOTS")
"""folder for a picture of each page that a test leaves"""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_DEADLINE = 60_000
"""milliseconds that a test waits at most, on a machine under load"""
_OF_THE_MACHINE = "ERR_NETWORK_CHANGED"
"""Chromium lets go of every connection when the machine gets an interface, as tests of clusters beside these make"""
OpenPage = Callable[..., Page]

expect.set_options(timeout=_DEADLINE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.pages)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        # the sandbox needs rights that containers do not give
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def url(core: Core, handles: dict[str, str]) -> Iterator[str]:
    with serve(core) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    new_client = client_of(url)
    yield new_client
    new_client.close()


def client_of(url: str, token: str = TOKEN) -> Client:
    """The API, beside the browser."""
    return Client.connect(lambda: ServerAccess(url, token))


def sign_in(page: Page, url: str, token: str = TOKEN) -> None:
    """Come in by a link that works once."""
    client = client_of(url, token)
    page.goto(url + client.invite()["path"])
    client.close()


def for_everybody(page: Page) -> None:
    """Check the page for barriers in light mode, and its colours in dark mode; the page is light afterwards."""
    _axe_finds_nothing(page, None)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        if scheme == "dark":
            _axe_finds_nothing(page, {"runOnly": {"type": "rule", "values": ["color-contrast"]}})


def _axe_finds_nothing(page: Page, options: dict[str, Any] | None) -> None:
    violations = Axe().run(page, options=options).response["violations"]
    summary = [(each["id"], [node["html"][:200] for node in each["nodes"][:2]]) for each in violations]
    assert summary == [], page.url


def no_more_time_passes(page: Page, visible: Locator) -> None:
    """The page loads again; once it shows that, no delayed message of it comes any more."""
    page.clock.install()
    page.reload()
    expect(visible).to_be_visible()
    page.clock.pause_at(time.time() + 5)  # a stream that is silent for longer is opened again


class Trouble:
    """Errors of pages."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._expected = [_OF_THE_MACHINE]

    def expect(self, pattern: str) -> None:
        """Such a complaint is part of the test; said before it can come, so that a failing test shows the reason."""
        self._expected.append(pattern)

    def unexpected(self) -> list[str]:
        """Requests that no test expected."""
        return [text for text in self.said if not any(re.search(pattern, text) for pattern in self._expected)]


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


@pytest.fixture
def open_page(browser: Browser, url: str, trouble: Trouble, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """`open_page("/experiments", color_scheme="dark")`: a page, signed in. No page may complain of anything."""
    contexts: list[BrowserContext] = []

    def open_it(path: str, **options: Any) -> Page:
        context = browser.new_context(viewport=options.pop("viewport", {"width": 1280, "height": 900}), **options)
        contexts.append(context)
        context.set_default_timeout(_DEADLINE)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.said.append(f"{error}\n{error.stack}"))
        page.on(
            "console",
            lambda message: trouble.said.append(message.text) if message.type in ("error", "warning") else None,
        )
        sign_in(page, url)
        page.goto(url + path)
        return page

    yield open_it
    for number, context in enumerate(contexts):
        for page in context.pages:
            if SHOTS:
                Path(SHOTS).mkdir(parents=True, exist_ok=True)
                page.screenshot(path=Path(SHOTS) / f"{request.node.name[:80].replace('/', '-')}-{number}.png")
        context.close()
    assert trouble.unexpected() == []
