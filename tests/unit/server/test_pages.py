"""The sign-in to the pages, and what is forbidden there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urljoin

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from orchestune.server.access import Need, need
from orchestune.server.context import ServerTimeouts
from orchestune.server.pages import assets
from orchestune.server.pages import routes as page_routes
from orchestune.server.routes import workers
from orchestune.services import idempotency
from orchestune.services.core import Core
from orchestune.store.tables import credentials
from tests.testbeds.seed import TOKEN, core_of
from tests.testbeds.vouching import Vouching
from tests.unit.server.harness import Live, Reply, live


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = replace(core_of(tmp_path_factory.mktemp("state")), identities=(Vouching(),))
    yield core
    core.store.close()


@pytest.fixture(scope="module")
def pages(core: Core) -> Iterator[Live]:
    with live(core) as server:
        yield server


def enter(pages: Live, token: str = TOKEN, *, after: str = "") -> str:
    """The cookie of a new session."""
    invited = pages.ask("POST", "/api/v1/sign-in", {}, token=token)
    assert invited.status == 201
    reply = pages.ask("GET", invited.json()["path"] + after, token=None)
    assert reply.status == 303
    return reply.headers["set-cookie"].partition(";")[0]


def moved(cookie: str, pages: Live) -> str:
    """Return the cookie of the session under the name that a server with another port uses."""
    return f"orchestune-{pages.port}={cookie.partition('=')[2]}"


def ask(pages: Live, method: str, path: str, cookie: str, **headers: str) -> Reply:
    fields = {"Cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return pages.ask(method, path, {} if method != "GET" else None, token=None, headers=fields)


def test_a_link_lets_one_browser_in_once(pages: Live) -> None:
    path = pages.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    first = pages.ask("GET", f"{path}&next=/experiments/sgd%3Ftab%3Dlogs", token=None)
    assert (first.status, first.headers["location"]) == (303, "/experiments/sgd?tab=logs")
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    second = pages.ask("GET", path, token=None)
    assert second.status == 401 and b"used already" in second.body and "set-cookie" not in second.headers


def test_whoever_guesses_a_link_waits_for_nobody_and_keeps_nobody_waiting(pages: Live, core: Core) -> None:
    with core.store.transaction():
        assert pages.ask("GET", "/sign-in?code=guessed", token=None).status == 401


def test_a_link_is_of_no_use_after_five_minutes(pages: Live, core: Core) -> None:
    path = pages.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    with core.store.transaction() as session:
        session.change(update(credentials).where(credentials.c.kind == "link").values(expires_at=session.now - 1))
    assert pages.ask("GET", path, token=None).status == 401


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/sign-out", ""])
def test_nobody_is_sent_elsewhere_after_signing_in(pages: Live, elsewhere: str) -> None:
    path = pages.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    assert pages.ask("GET", f"{path}&next={elsewhere}", token=None).headers["location"] == "/experiments"


def test_a_session_reaches_pages_and_api_as_the_person_it_is_of(pages: Live) -> None:
    cookie = enter(pages)
    page = ask(pages, "GET", "/experiments", cookie)
    assert page.status == 200 and b'data-role="owner" data-user="ada"' in page.body
    assert ask(pages, "GET", "/api/v1/experiments", cookie).json()["items"] == []


@pytest.mark.parametrize("other", ['layout={"open": true}', "seen=a b", "a,b;=c"])
def test_a_session_is_known_beside_cookies_of_other_pages_on_the_same_host(pages: Live, other: str) -> None:
    for cookies in (f"{other}; {enter(pages)}", f"{enter(pages)}; {other}"):
        assert ask(pages, "GET", "/api/v1/experiments", cookies).status == 200


def test_a_session_is_over_once_one_signs_out(pages: Live) -> None:
    cookie = enter(pages)
    out = ask(pages, "POST", "/sign-out", cookie, Sec_Fetch_Site="same-origin")
    assert (out.status, out.headers["location"]) == (303, "/sign-in")
    assert ask(pages, "GET", "/api/v1/experiments", cookie).status == 401


def test_signing_out_with_a_guessed_cookie_changes_nothing(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took the store's write lock, and tokens that were being checked meanwhile were not cached."""
    with live(core) as pages:
        before = pages.context.callers.revocations
        monkeypatch.setattr(core.store, "transaction", None)
        cookie = f"orchestune-{pages.port}=s.guessed"
        assert ask(pages, "POST", "/sign-out", cookie, Sec_Fetch_Site="same-origin").status == 303
        assert pages.context.callers.revocations == before


def test_what_a_page_is_told_ends_with_its_session(core: Core, caplog: pytest.LogCaptureFixture) -> None:
    with live(core, pace=ServerTimeouts(ping=0.1, page_interval=0.05)) as pages:
        cookie = enter(pages)
        fields = {"Cookie": cookie, "Accept": "text/event-stream"}
        stream = pages.send("GET", "/api/v1/experiments", token=None, headers=fields)
        assert b"event: ping\n" in iter(stream.readline, b"")
        ask(pages, "POST", "/sign-out", cookie, Sec_Fetch_Site="same-origin")
        assert len(list(islice(stream, 1000))) < 1000, "the stream never ends"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_expired_session_is_sent_to_sign_in_and_back(core: Core) -> None:
    with live(core) as pages:
        cookie = enter(pages)
        with core.store.transaction() as session:
            session.change(update(credentials).values(expires_at=session.now - 1))
        reply = ask(pages, "GET", "/experiments/sgd-7f3a?tab=logs", cookie)
        assert reply.status == 303
        assert reply.headers["location"] == "/sign-in?next=%2Fexperiments%2Fsgd-7f3a%3Ftab%3Dlogs"
        assert ask(pages, "GET", "/api/v1/experiments", cookie).status == 401


def test_a_session_ends_with_the_owners_token_that_it_came_from(core: Core) -> None:
    with live(core) as pages:
        cookie = enter(pages)
    with live(replace(core, owners={"another-token-of-an-owner": "eve"})) as pages:
        assert ask(pages, "GET", "/api/v1/experiments", moved(cookie, pages)).status == 401
    with live(core) as pages:
        assert ask(pages, "GET", "/api/v1/experiments", moved(cookie, pages)).status == 200


def test_a_restarted_server_knows_its_sessions(core: Core) -> None:
    with live(core) as pages:
        cookie = enter(pages)
    with live(core) as pages:
        assert ask(pages, "GET", "/api/v1/experiments", moved(cookie, pages)).status == 200
        assert ask(pages, "GET", "/api/v1/experiments", cookie).status == 401  # servers of one host stay apart


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "OWN"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 404),
        ({"Origin": "OWN"}, 404),
    ],
)
def test_no_other_site_changes_anything_in_ones_name(pages: Live, headers: dict[str, str], status: int) -> None:
    own = {name: value.replace("OWN", f"http://127.0.0.1:{pages.port}") for name, value in headers.items()}
    reply = ask(pages, "POST", "/api/v1/experiments/there-is-none/stop", enter(pages), **own)
    assert reply.status == status


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_no_other_site_signs_anybody_in_or_out(pages: Live, path: str) -> None:
    body = f"token={TOKEN}".encode()
    assert pages.ask("POST", path, body, token=None, headers={"Origin": "http://evil.example"}).status == 403


def test_a_token_that_is_typed_in_begins_a_session(pages: Live) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    good = pages.ask("POST", "/sign-in", f"token={TOKEN}&next=/experiments".encode(), token=None, headers=own)
    assert good.status == 303 and "set-cookie" in good.headers
    bad = pages.ask("POST", "/sign-in", b"token=%3Cscript%3E", token=None, headers=own)
    assert bad.status == 401 and b"unknown" in bad.body and b"<script>" not in bad.body.partition(b"<body")[2]


def test_a_viewer_of_a_place_that_vouches_looks_and_changes_nothing(pages: Live) -> None:
    invited = pages.ask("POST", "/api/v1/sign-in", {}, token="viewer-token", headers={"Orchestune-User": "grace"})
    cookie = pages.ask("GET", invited.json()["path"], token=None).headers["set-cookie"].partition(";")[0]
    assert b'data-role="viewer" data-user="grace"' in ask(pages, "GET", "/experiments", cookie).body
    stop = ask(pages, "POST", "/api/v1/experiments/x/stop", cookie, Sec_Fetch_Site="same-origin")
    assert stop.status == 403 and "grace is a viewer of this server" in stop.json()["error"]["message"]


def test_a_browser_cannot_prolong_its_own_session(pages: Live) -> None:
    cookie = enter(pages, "viewer-token")
    assert ask(pages, "POST", "/api/v1/sign-in", cookie, Sec_Fetch_Site="same-origin").status == 403


def test_of_a_link_only_a_digest_is_kept(pages: Live, core: Core) -> None:
    key = {"Idempotency-Key": "the-key-of-a-link"}
    assert pages.ask("POST", "/api/v1/sign-in", {}, token=TOKEN, headers=key).status == 201
    assert idempotency.remembered(core, "the-key-of-a-link", "") is None


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v1/experiments", {"Authorization": "Bearer w.a.b.\xe9"}, 401),
        ("GET", "/api/v1/experiments", {"Cookie": "a=b", "Host": "[::1"}, 401),
        ("POST", "/sign-in", {"Origin": "http://["}, 403),
        ("GET", "/api/v1/report/a/%C3%A9", {}, 403),
    ],
)
def test_nonsense_from_nobody_is_refused(
    pages: Live, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert pages.ask(method, path, b"" if method == "POST" else None, token=None, headers=headers).status == status


def addresses(pages: Live) -> Iterator[tuple[str, str]]:
    """Method and path of every route: those of the API's document, those of the pages, those of workers."""
    document = pages.ask("GET", "/api/v1/openapi.json", token=TOKEN).json()
    for path, methods in document["paths"].items():
        yield from ((method.upper(), path) for method in methods)
    for router, prefix in ((page_routes.router, ""), (workers.router, "/api/v1")):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            yield from ((method, prefix + route.path) for method in sorted(route.methods or ()))


OPEN = ("/share", "/api/v1/proof", "/api/v1/login", "/api/v1/login/token")
"""further addresses that need no token"""


def test_nothing_but_the_door_opens_to_nobody(pages: Live) -> None:
    templates = []
    for method, template in addresses(pages):
        path = re.sub(r"{[^}]*}", "x", template.replace("{number}", "1"))
        if need(method, path) is Need.NOTHING:
            assert path.startswith(("/sign-", "/static/", "/api/v1/report/")) or path in OPEN
            continue
        reply = pages.ask(method, path, {} if method not in ("GET", "HEAD") else None, token=None)
        assert reply.status in (401, 303), (method, path)
        if reply.status == 303:
            assert reply.headers["location"].startswith("/sign-in"), path
        templates.append(template)
    assert {"/experiments/{ref}", "/api/v1/experiments/{ref}/columns", "/"} <= set(templates)


def test_pages_run_no_script_but_their_own(pages: Live) -> None:
    page = ask(pages, "GET", "/experiments/%3Cscript%3Ealert(1)", enter(pages))
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["cache-control"] == "no-store"
    text = page.body.decode()
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", text)


@pytest.mark.parametrize("path", ["/experimnts", "/experiments/x/trials/first", "/experiments/x/trials/0", "/%3Cb%3E"])
def test_an_address_that_leads_nowhere_is_answered_with_a_page(pages: Live, path: str) -> None:
    cookie = enter(pages)
    page = ask(pages, "GET", path, cookie, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    text = page.body.decode()
    assert page.status == 404 and page.headers["content-type"].startswith("text/html")
    assert f"No page or route at {escape(unquote(path))}." in text and 'href="/experiments"' in text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    document = ask(pages, "GET", path, cookie)
    assert document.status == 404 and document.json()["error"]["code"] == "not_found"


def test_programs_are_told_of_errors_in_documents(pages: Live) -> None:
    cookie, browser = enter(pages), "text/html"
    assert ask(pages, "GET", "/api/v1/experiments/none", cookie, Accept=browser).json()["error"]["code"] == "not_found"
    away = ask(pages, "POST", "/sign-out", cookie, Accept=browser, Sec_Fetch_Site="cross-site")
    assert (
        away.status == 403
        and b"Another site sent this request with your session" in away.body
        and b"{" not in away.body[:1]
    )
    head = pages.ask("HEAD", "/experimnts", token=None, headers={"Cookie": cookie, "Accept": browser})
    assert head.status == 404


def test_scripts_and_styles_come_from_the_package_and_are_kept(pages: Live) -> None:
    page = pages.ask("GET", "/sign-in", token=None).body.decode()
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert files and not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    for path in files:
        reply = pages.ask("GET", path, token=None)
        assert reply.status == 200 and "immutable" in reply.headers["cache-control"]
    assert pages.ask("GET", "/static/x/../../app.py", token=None).status == 404


def test_scripts_that_a_page_of_another_version_asks_for_are_not_kept_as_its_own(pages: Live) -> None:
    reply = pages.ask("GET", "/static/0123456789abcdef/theme.js", token=None)
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"


def test_names_of_tabs_that_do_not_exist_take_no_memory(pages: Live) -> None:
    """Each was kept for ever, with up to 64 KiB: a guest could fill the memory of a server within minutes."""
    cookie = enter(pages)
    before = assets._imported.cache_info().currsize
    assert {ask(pages, "GET", f"/experiments/x?tab=none-{n}", cookie).status for n in range(5)} == {200}
    assert assets._imported.cache_info().currsize <= before + 1


@pytest.mark.parametrize(
    ("path", "its_own"),
    [
        ("/experiments", "pages/experiments.js"),
        ("/experiments/x", "tabs/overview.js"),
        ("/experiments/x?tab=analysis", "analysis/importance.js"),
        ("/experiments/x?tab=../lib/dom", "tabs/actions.js"),
        ("/experiments/x/trials/1", "tabs/usage.js"),
        ("/compare", "plot/frame.js"),
        ("/cluster", "tabs/cluster_parts.js"),
        ("/settings", "tabs/share.js"),
    ],
)
def test_a_page_tells_at_once_of_every_script_that_it_imports(pages: Live, path: str, its_own: str) -> None:
    """A browser that finds them out one by one waits once for each."""
    page = ask(pages, "GET", path, enter(pages)).body.decode()
    scripts = re.findall(r'modulepreload" href="(/static/\w+/([^"]+))"', page)
    assert its_own in [name for _, name in scripts]
    for address, _ in scripts:
        script = pages.ask("GET", address, token=None)
        assert script.status == 200
        imported = re.findall(r'(?:^|;)\s*import\b[^;]*?"([^"]+)"', script.body.decode(), re.MULTILINE)
        assert {urljoin(address, other) for other in imported} <= {each for each, _ in scripts}


def test_no_style_or_script_names_another_host() -> None:
    folder = Path(__file__).parents[3] / "src/orchestune/server/static"
    for path in folder.rglob("*.*"):
        hosts = set(re.findall(r"https?://[\w.]+", path.read_text()))
        assert hosts <= {"http://www.w3.org"}, path
