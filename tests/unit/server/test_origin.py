"""An embedded server serves its pages under one host name, which is new at each start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestune.services.core import Core
from tests.testbeds.seed import TOKEN, core_of
from tests.unit.server.harness import Live, live

HOST = "0123456789abcdef.localhost"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    core = replace(core_of(tmp_path_factory.mktemp("state")), pages_host=HOST)
    yield core
    core.store.close()


@pytest.fixture(scope="module")
def server(core: Core) -> Iterator[Live]:
    with live(core) as server:
        yield server


def session(server: Live) -> str:
    """The cookie of a new session."""
    path = server.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["path"]
    reply = server.ask("GET", path, token=None, headers={"Host": f"{HOST}:{server.port}"})
    assert reply.status == 303 and reply.headers["location"] == "/experiments"
    return reply.headers["set-cookie"].partition(";")[0]


def test_the_link_says_where_the_pages_are(server: Live) -> None:
    assert server.ask("POST", "/api/v1/sign-in", {}, token=TOKEN).json()["host"] == HOST


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("127.0.0.1:4000", f"http://{HOST}:4000/experiments/a%20b?tab=logs"),  # the browser's end of a tunnel
        ("LOCALHOST:4000", f"http://{HOST}:4000/experiments/a%20b?tab=logs"),
        ("[::1]:4000", f"http://{HOST}:4000/experiments/a%20b?tab=logs"),
        ("localhost", f"http://{HOST}/experiments/a%20b?tab=logs"),
    ],
)
def test_a_loopback_address_leads_to_the_pages(server: Live, host: str, location: str) -> None:
    reply = server.ask("GET", "/experiments/a%20b?tab=logs", token=None, headers={"Host": host})
    assert (reply.status, reply.headers["location"]) == (303, location)


@pytest.mark.parametrize("host", ["fedcba9876543210.localhost:4000", f"x.{HOST}", "example.org", "[::1", ""])
@pytest.mark.parametrize("path", ["/", "/sign-in", "/share?code=x", "/static/x/theme.js", "/nothing"])
def test_the_pages_have_no_other_name(server: Live, host: str, path: str) -> None:
    assert server.ask("GET", path, token=None, headers={"Host": host}).status == 421


def test_a_form_is_taken_at_the_name_of_the_pages_alone(server: Live) -> None:
    headers = {"Host": f"127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.ask("POST", "/sign-in", f"token={TOKEN}".encode(), token=None, headers=headers).status == 421


@pytest.mark.parametrize(
    ("name", "status"), [(HOST, 200), ("127.0.0.1", 401), ("localhost", 401), ("a.localhost", 401)]
)
def test_a_session_counts_at_the_name_of_the_pages_alone(server: Live, name: str, status: int) -> None:
    headers = {"Host": f"{name}:{server.port}", "Cookie": session(server)}
    assert server.ask("GET", "/api/v1/server", token=None, headers=headers).status == status


def test_programs_with_a_token_need_no_name(server: Live) -> None:
    assert server.ask("GET", "/api/v1/server", token=TOKEN).status == 200
    assert server.ask("GET", "/healthz", token=None).status == 200


def test_sessions_end_with_the_server(server: Live, core: Core) -> None:
    cookie = session(server)
    _, _, token = cookie.partition("=")
    with live(replace(core, pages_host="fedcba9876543210.localhost")) as later:
        for text in (token, token.replace("0123456789abcdef", "fedcba9876543210")):
            headers = {"Host": f"fedcba9876543210.localhost:{later.port}", "Cookie": f"orchestune-{later.port}={text}"}
            assert later.ask("GET", "/api/v1/server", token=None, headers=headers).status == 401
