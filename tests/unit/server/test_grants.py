"""Tokens that the server issues and links to one experiment: what they open, and that they end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestune.server.context import ServerTimeouts
from orchestune.services import idempotency
from orchestune.services.commands import change_experiment
from orchestune.services.core import Core
from orchestune.store import removal
from orchestune.store.tables import credentials
from tests.testbeds.seed import TOKEN, core_of, seed
from tests.unit.server.harness import Live, Reply, live

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def server(core: Core, handles: dict[str, str]) -> Iterator[Live]:
    with live(core, pace=ServerTimeouts(ping=0.1, page_interval=0.05)) as live_server:
        yield live_server


def call(server: Live, method: str, path: str, body: Any = None, *, expect: int = 200, token: str = TOKEN) -> Any:
    reply = server.ask(method, f"/api/v1{path}", body, token=token)
    assert reply.status == expect, reply.body
    return reply.json() if reply.body else None


def token_for(server: Live, role: str) -> str:
    return str(call(server, "POST", "/tokens", {"name": f"a {role}", "role": role}, expect=201)["token"])


def share(server: Live, ref: str, **body: Any) -> Any:
    return call(server, "POST", f"/experiments/{ref}/shares", body, expect=201)


def come_in(server: Live, path: str, cookie: str = "") -> tuple[str, str]:
    """Return the cookie of a guest who opens a link, and the redirect."""
    reply = server.ask("GET", path, token=None, headers={"Cookie": cookie})
    assert reply.status == 303, reply.body
    return reply.headers.get("set-cookie", "").partition(";")[0], reply.headers["location"]


def as_guest(server: Live, method: str, path: str, cookie: str) -> Reply:
    body: Any = None if method in ("GET", "HEAD") else {}
    return server.ask(method, path, body, token=None, headers={"Cookie": cookie, **OWN})


@pytest.mark.parametrize(
    "part",
    [
        *("", "/specification", "/trials", "/trials/1", "/trials/1/points", "/trials/1/artifacts", "/logs", "/events"),
        *("/best", "/columns", "/overview", "/timeline", "/curves", "/importance", "/explain"),
        *("/trials/1/usage", "/contour?x=alpha&y=layers"),
    ],
)
def test_a_guest_reads_what_there_is_of_the_one_experiment(server: Live, handles: dict[str, str], part: str) -> None:
    cookie, where = come_in(server, share(server, handles["one trial"])["path"])
    assert where == f"/experiments/{handles['one trial']}"
    assert as_guest(server, "GET", f"/api/v1{where}{part}", cookie).status == 200
    assert as_guest(server, "GET", f"/api/v1/experiments/{handles['image model']}{part}", cookie).status == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/experiments"),
        ("GET", "/experiments/one"),  # the beginning of its handle may be that of another one tomorrow
        ("GET", "/experiments/REF/archive"),
        ("GET", "/experiments/REF/../../server"),
        ("PUT", "/experiments/REF/terminal"),
        ("PUT", "/experiments/REF/code"),
        ("GET", "/experiments/REF/code"),
        ("GET", "/experiments/REF/code/train.py"),
        ("GET", "/diff?old=REF/1&new=REF/1"),
        ("POST", "/experiments/REF/stop"),
        ("PATCH", "/experiments/REF"),
        ("DELETE", "/experiments/REF"),
        ("POST", "/experiments/REF/trials"),
        ("POST", "/experiments/REF/shares"),
        ("POST", "/experiments"),
        ("GET", "/server"),
        ("GET", "/cluster"),
        ("GET", "/openapi.json"),
        ("GET", f"/bundles/{'a' * 64}"),
        ("GET", "/shares"),
        ("GET", "/tokens"),
        ("POST", "/tokens"),
        ("POST", "/sign-in"),
        ("POST", "/shutdown"),
    ],
)
def test_a_guest_reaches_nothing_else(server: Live, handles: dict[str, str], method: str, path: str) -> None:
    ref = handles["one trial"]
    cookie, _ = come_in(server, share(server, ref)["path"])
    reply = as_guest(server, method, "/api/v1" + path.replace("REF", ref), cookie)
    assert reply.status == 403 and "one experiment only" in reply.json()["error"]["message"]


def test_a_guest_who_wants_another_page_is_asked_to_sign_in(server: Live, handles: dict[str, str]) -> None:
    cookie, where = come_in(server, share(server, handles["one trial"])["path"])
    for path, status in ((where, 200), (f"{where}/trials/1", 200), ("/experiments", 303), ("/settings", 303)):
        reply = as_guest(server, "GET", path, cookie)
        assert reply.status == status, path
        if status == 303:
            assert reply.headers["location"].startswith("/sign-in?next=")
    assert b'data-role="guest"' in as_guest(server, "GET", where, cookie).body


def test_a_guest_does_not_see_the_environment(server: Live, handles: dict[str, str]) -> None:
    cookie, where = come_in(server, share(server, handles["one trial"])["path"])
    path = f"/api/v1{where}/specification"
    assert server.ask("GET", path, token=TOKEN).json()["launch"]["root"] == "/home/ada/project"
    answer = as_guest(server, "GET", path, cookie).json()
    assert answer["launch"] == {} and answer["specification"]["env"] == {}


def test_a_guest_does_not_see_a_configuration_file(server: Live, handles: dict[str, str]) -> None:
    specification = {
        "name": "with a file",
        "run": "train",
        "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
        "metrics": [{"name": "loss", "goal": "minimize"}],
        "budget": 1,
        "parallelism": 1,
        "engine": "random",
        "config": {"name": "base.yml", "parts": ["password: hunter2\nx: ", ["x", "0.5"]]},
    }
    experiment = call(server, "POST", "/experiments", {"specification": specification}, expect=201)
    cookie, where = come_in(server, share(server, experiment["handle"])["path"])
    answer = as_guest(server, "GET", f"/api/v1{where}/specification", cookie)
    assert answer.status == 200 and b"hunter2" not in answer.body
    assert answer.json()["specification"]["config"]["name"] == "base.yml"


def test_a_guest_does_not_see_what_else_may_hold_secrets(server: Live, handles: dict[str, str]) -> None:
    pod = {"spec": {"containers": [{"name": "trial", "env": [{"name": "KEY", "value": "hunter2"}]}]}}
    specification = {
        "name": "with a pod",
        "run": "train",
        "parameters": [{"name": "x", "type": "float", "min": 0, "max": 1}],
        "metrics": [{"name": "loss", "goal": "minimize"}],
        "budget": 1,
        "parallelism": 1,
        "engine": "random",
        "placement": {"image": "python:3.12", "pod": pod, "slurm": {"comment": "hunter2"}},
        "stdin": "hunter2 {x}",
    }
    experiment = call(server, "POST", "/experiments", {"specification": specification}, expect=201)
    path = f"/api/v1/experiments/{experiment['handle']}/specification"
    assert b"hunter2" in server.ask("GET", path, token=TOKEN).body
    cookie, where = come_in(server, share(server, experiment["handle"])["path"])
    answer = as_guest(server, "GET", f"/api/v1{where}/specification", cookie)
    assert answer.status == 200 and b"hunter2" not in answer.body
    assert answer.json()["specification"]["placement"]["image"] == "python:3.12"


def test_an_editor_takes_back_its_own_links_and_an_owner_all(server: Live, handles: dict[str, str]) -> None:
    editor = token_for(server, "editor")
    path = f"/experiments/{handles['one trial']}/shares"
    own = call(server, "POST", path, {}, expect=201, token=editor)
    other = call(server, "POST", path, {}, expect=201)
    call(server, "DELETE", f"/shares/{other['id']}", expect=403, token=editor)
    call(server, "DELETE", f"/shares/{own['id']}", expect=204, token=editor)
    own = call(server, "POST", path, {}, expect=201, token=editor)
    for link in (own, other):
        call(server, "DELETE", f"/shares/{link['id']}", expect=204)


def test_an_editor_cannot_have_a_record_removed_by_calling_it_a_test(server: Live, handles: dict[str, str]) -> None:
    path = f"/experiments/{handles['one trial']}"
    body = {"labels": {"orchestune.dev/test": "1"}}
    refused = call(server, "PATCH", path, body, expect=400, token=token_for(server, "editor"))
    assert "labels.orchestune.dev/test" in refused["error"]["message"]
    assert call(server, "GET", path)["labels"] == {}


def test_who_is_signed_in_stays_who_they_are(server: Live, handles: dict[str, str]) -> None:
    invited = call(server, "POST", "/sign-in", {}, expect=201)
    cookie, _ = come_in(server, invited["path"])
    again, where = come_in(server, share(server, handles["one trial"])["path"], cookie)
    assert (again, where) == ("", f"/experiments/{handles['one trial']}")


def test_a_link_is_listed_and_taken_back_and_who_came_by_it_is_out_at_once(
    server: Live, handles: dict[str, str]
) -> None:
    share_link = share(server, handles["one trial"], name="grace", days=3)
    cookie, where = come_in(server, share_link["path"])
    assert as_guest(server, "GET", f"/api/v1{where}", cookie).status == 200
    fields = {"Cookie": cookie, "Accept": "text/event-stream"}
    stream = server.send("GET", f"/api/v1{where}", token=None, headers=fields)
    assert b"event: ready\n" in iter(stream.readline, b"")
    listed = next(each for each in call(server, "GET", "/shares") if each["id"] == share_link["id"])
    assert listed == {key: value for key, value in share_link.items() if key != "path"}
    assert (listed["name"], listed["made_by"], listed["experiment"]) == ("grace", "ada", handles["one trial"])
    call(server, "DELETE", f"/shares/{share_link['id']}", expect=204)
    assert len(list(islice(stream, 1000))) < 1000, "the page is told more"
    assert as_guest(server, "GET", f"/api/v1{where}", cookie).status == 401
    assert server.ask("GET", share_link["path"], token=None).status == 401
    call(server, "DELETE", f"/shares/{share_link['id']}", expect=404)


def test_a_link_is_over_when_its_days_are(server: Live, core: Core, handles: dict[str, str]) -> None:
    share_link = share(server, handles["one trial"])
    cookie, where = come_in(server, share_link["path"])
    with core.store.transaction() as session:
        own = credentials.c.digest.startswith(share_link["id"])
        session.change(update(credentials).where(own).values(expires_at=session.now - 1))
    with live(core) as restarted:  # without known callers in memory
        moved = f"orchestune-{restarted.port}={cookie.partition('=')[2]}"
        assert as_guest(restarted, "GET", f"/api/v1{where}", moved).status == 401
        reply = restarted.ask("GET", share_link["path"], token=None)
    assert reply.status == 401 and b"no longer valid" in reply.body


def test_a_session_of_a_guest_never_outlives_its_link(server: Live, handles: dict[str, str]) -> None:
    share_link = share(server, handles["one trial"], days=1)
    reply = server.ask("GET", share_link["path"], token=None)
    seconds = int(reply.headers["set-cookie"].partition("Max-Age=")[2].partition(";")[0])
    assert 0 < seconds <= 24 * 3600


def test_what_is_deleted_is_shared_no_longer(tmp_path_factory: pytest.TempPathFactory) -> None:
    core = core_of(tmp_path_factory.mktemp("deleting"))
    handles = seed(core)
    with live(core) as server:
        hidden, purged = (share(server, handles[name]) for name in ("one trial", "sgd classifier"))
        change_experiment.delete(core, handles["one trial"], purge=False, actor="ada")
        with core.store.transaction() as session:
            bound = select(credentials.c.experiment).where(credentials.c.digest.startswith(purged["id"]))
            [experiment] = session.select(bound, str)
            removal.purge(session, experiment)
        for share_link in (hidden, purged):
            assert server.ask("GET", share_link["path"], token=None).status == 401
        assert call(server, "GET", "/shares") == []
    with core.store.reading() as session:
        assert purged["id"] not in {digest[:16] for digest in session.select(select(credentials.c.digest), str)}
    core.store.close()


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("viewer", "GET", "/experiments", 200),
        ("viewer", "POST", "/experiments/REF/stop", 403),
        ("viewer", "POST", "/experiments/REF/shares", 403),
        ("viewer", "GET", "/shares", 403),
        ("editor", "POST", "/experiments/REF/stop", 200),
        ("editor", "POST", "/experiments/REF/shares", 201),
        ("editor", "GET", "/shares", 200),
        ("editor", "GET", "/tokens", 403),
        ("editor", "POST", "/tokens", 403),
        ("owner", "GET", "/tokens", 200),
    ],
)
def test_a_token_opens_what_its_role_may(
    server: Live, handles: dict[str, str], role: str, method: str, path: str, status: int
) -> None:
    reply = server.ask(
        method,
        "/api/v1" + path.replace("REF", handles["one trial"]),
        {} if method == "POST" else None,
        token=token_for(server, role),
    )
    assert reply.status == status, reply.body


def test_a_token_is_listed_without_itself_and_taken_back(server: Live) -> None:
    token_document = call(server, "POST", "/tokens", {"name": "grace", "role": "editor", "days": 5}, expect=201)
    token = token_document.pop("token")
    assert token_document in call(server, "GET", "/tokens") and (token_document["name"], token_document["role"]) == (
        "grace",
        "editor",
    )
    invited = call(server, "POST", "/sign-in", {}, expect=201, token=token)
    cookie, _ = come_in(server, invited["path"])
    assert as_guest(server, "GET", "/api/v1/experiments", cookie).status == 200
    call(server, "DELETE", f"/tokens/{token_document['id']}", expect=204)
    assert as_guest(server, "GET", "/api/v1/experiments", cookie).status == 401
    assert server.ask("GET", "/api/v1/experiments", token=token).status == 401
    call(server, "DELETE", f"/tokens/{token_document['id']}", expect=404)


def test_a_token_that_is_taken_back_takes_its_unused_link_along(server: Live) -> None:
    token_document = call(server, "POST", "/tokens", {"name": "eve", "role": "owner"}, expect=201)
    invited = call(server, "POST", "/sign-in", {}, expect=201, token=token_document["token"])
    call(server, "DELETE", f"/tokens/{token_document['id']}", expect=204)
    assert server.ask("GET", invited["path"], token=None).status == 401


def test_a_token_is_typed_in_to_sign_in(server: Live) -> None:
    body = f"token={token_for(server, 'viewer')}".encode()
    reply = server.ask("POST", "/sign-in", body, token=None, headers=OWN)
    assert reply.status == 303
    cookie = reply.headers["set-cookie"].partition(";")[0]
    assert b'data-role="viewer" data-user="a viewer"' in as_guest(server, "GET", "/experiments", cookie).body


@pytest.mark.parametrize(
    "body",
    [{}, {"name": ""}, {"name": "x", "role": "guest"}, {"name": "x", "days": 0}, {"name": "x", "days": 4000}],
)
def test_a_token_that_makes_no_sense_is_not_made(server: Live, body: Any) -> None:
    call(server, "POST", "/tokens", body, expect=400)


def test_what_is_told_once_is_kept_as_a_digest_alone(server: Live, core: Core, handles: dict[str, str]) -> None:
    for number, (path, body) in enumerate(
        (("/tokens", {"name": "x"}), (f"/experiments/{handles['one trial']}/shares", {}))
    ):
        key = {"Idempotency-Key": f"key-{number}"}
        reply = server.ask("POST", f"/api/v1{path}", body, token=TOKEN, headers=key)
        secret = reply.json().get("token") or reply.json()["path"].partition("=")[2]
        assert idempotency.remembered(core, f"key-{number}", "") is None
        with core.store.reading() as session:
            assert secret not in str(session.connection.execute(select(credentials)).all())
