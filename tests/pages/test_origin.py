"""Another user takes the port of an embedded server that has ended, and answers its page that is still open."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from orchestune.client.address import ServerAccess
from orchestune.client.api import Client
from orchestune.client.tunnels.gateway import gateway
from orchestune.services.core import Core
from tests.testbeds.ports import free_port
from tests.testbeds.seed import TOKEN, core_of, serve
from tests.testbeds.serving import Handler, Listening, serving

_PAGE = b"""<!doctype html><title>Orchestune</title><p id="worker"></p><script>
navigator.serviceWorker.register("/worker.js", {scope: "/"}).then(() => navigator.serviceWorker.ready)
  .then(() => document.getElementById("worker").textContent = "installed");
</script>"""
_WORKER = b"""self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate") event.respondWith(new Response("the attacker's page"));
});"""
_STRIKE = """url => fetch(url, {credentials: "include"}).then((answer) => answer.status, (error) => String(error))"""


class _Attacker(Handler):
    def do_GET(self) -> None:
        if self.path == "/worker.js":
            self.send(200, _WORKER, {"Content-Type": "text/javascript"})
        elif self.path.startswith("/api/"):
            self.send(401)
        else:
            self.send(200, _PAGE, {"Content-Type": "text/html"})


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = core_of(tmp_path_factory.mktemp("state"))
    yield core
    core.store.close()


def link(url: str) -> tuple[str, str]:
    """The link that `orchestune ui` makes, at the host name of the pages and at the address of the server."""
    client = Client.connect(lambda: ServerAccess(url, TOKEN))
    invitation = client.invite()
    client.close()
    return url.replace("127.0.0.1", invitation["host"]) + invitation["path"], url + invitation["path"]


def take_over(page: Page, port: int) -> None:
    """Answer the open page until a service worker is installed at its origin."""
    with serving(Listening(_Attacker, port)):
        expect(page.locator("#worker")).to_have_text("installed")


@pytest.mark.parametrize("by_address", [False, True], ids=["host name", "address"])
def test_a_page_of_an_ended_server_cannot_use_the_next_one(browser: Browser, core: Core, by_address: bool) -> None:
    port, context = free_port(), browser.new_context()
    page = context.new_page()
    with serve(replace(core, pages_host="0123456789abcdef.localhost"), port) as url:
        page.goto(link(url)[by_address])
        expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
        assert page.url.startswith("http://0123456789abcdef.localhost:")
        assert page.evaluate(_STRIKE, "/api/v1/server") == 200
    take_over(page, port)
    with serve(replace(core, pages_host="fedcba9876543210.localhost"), port) as url:
        other = context.new_page()
        other.goto(link(url)[by_address])
        expect(other.get_by_role("heading", name="Experiments")).to_be_visible()
        assert page.evaluate(_STRIKE, "/api/v1/server") == 401
        elsewhere = f"http://fedcba9876543210.localhost:{port}/api/v1/server"
        assert "TypeError" in page.evaluate(_STRIKE, elsewhere)
        assert other.evaluate(_STRIKE, "/api/v1/server") == 200
    context.close()


def test_a_program_at_another_port_of_the_machine_is_sent_no_session(browser: Browser, core: Core) -> None:
    context, cookies = browser.new_context(), []

    class Recording(Handler):
        def do_GET(self) -> None:
            cookies.append(self.headers.get("Cookie"))
            self.send(200)

    page = context.new_page()
    with (
        serve(replace(core, pages_host="0123456789abcdef.localhost")) as url,
        serving(Listening(Recording)) as other,
    ):
        page.goto(link(url)[0])
        expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
        page.goto(other.url)
    context.close()
    assert cookies and not any(cookies)


def test_the_pages_work_through_a_gateway_that_keeps_the_session(browser: Browser, core: Core) -> None:
    context = browser.new_context()
    page = context.new_page()
    with serve(core) as url:

        def dial(timeout: float) -> socket.socket:
            return socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout)

        client = Client.connect(lambda: ServerAccess(url, TOKEN))
        with gateway(dial) as address:
            page.goto(address + client.invite()["path"])
            expect(page.get_by_role("heading", name="Experiments")).to_be_visible()
            expect(page.locator("#connection")).to_have_attribute("data-state", "live")
            cookies = context.cookies()
            assert [cookie["domain"] for cookie in cookies] == [urlsplit(address).hostname]
            assert not any("s." in cookie["value"][:2] for cookie in cookies)
        client.close()
        context.close()
