"""Attacks that must leave a trace in the audit log, and attacks on the log itself."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestune.cli.main import main
from orchestune.cli.terminal.console import Console
from orchestune.domain.access.audit import LASTING, AuditEvent, AuditKind
from orchestune.errors import Conflict, StoreUnavailable
from orchestune.server.caller_limits import MAX_SIGN_INS_PER_MINUTE
from orchestune.server.context import ServerTimeouts
from orchestune.server.logs import JsonFormatter, PlainFormatter, Redaction
from orchestune.services import audit
from orchestune.services.access import sign_in as enter
from orchestune.services.access.authenticate import session_of
from orchestune.services.access.grant_access import share
from orchestune.services.core import Caller, Core
from orchestune.services.signatures import digest
from orchestune.store import audit as rows
from orchestune.store.database import Store, open_store
from tests.testbeds.seed import TOKEN
from tests.unit.server.harness import Live, Reply, live, until

GUESS = "t.the-token-that-an-attacker-guesses"
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def server(own_core: Core) -> Iterator[Live]:
    with live(own_core, pace=ServerTimeouts(ping=0.1, poll=0.05)) as running:
        yield running


def events(server: Live, kind: str = "", token: str = TOKEN) -> list[dict[str, Any]]:
    reply = server.ask("GET", "/api/v1/audit?limit=1000", token=token)
    assert reply.status == 200, reply.body
    return [event for event in reply.json()["items"] if kind in ("", event["kind"])]


def the_event(server: Live, kind: str) -> dict[str, Any]:
    """Wait for the event: those of refusals are stored behind the answer."""
    until(lambda: events(server, kind), f"an event {kind}")
    (event,) = events(server, kind)
    return event


def issue(server: Live, role: str) -> dict[str, Any]:
    reply = server.ask("POST", "/api/v1/tokens", {"name": f"a {role}", "role": role}, token=TOKEN)
    assert reply.status == 201
    return dict(reply.json())


def sign_in(server: Live, token: str) -> Reply:
    form = f"token={token}".encode()
    headers = {**OWN, "Content-Type": "application/x-www-form-urlencoded"}
    return server.ask("POST", "/sign-in", form, token=None, headers=headers)


def test_a_guessed_token_is_noted_with_its_address_and_without_the_token(server: Live) -> None:
    assert server.ask("GET", "/api/v1/experiments", token=GUESS).status == 401
    event = the_event(server, "token_failed")
    assert (event["address"], event["subject"], event["actor"]) == ("127.0.0.1", "GET /api/v1/experiments", "")
    assert GUESS not in json.dumps(events(server))


def test_sign_ins_and_failed_ones_are_noted(server: Live) -> None:
    assert sign_in(server, GUESS).status == 401
    assert sign_in(server, TOKEN).status == 303
    assert the_event(server, "sign_in_failed")["details"] == {"by": "token"}
    event = the_event(server, "sign_in")
    assert (event["actor"], event["role"], event["details"]) == ("ada", "owner", {"by": "token"})


def test_a_grant_is_noted_before_the_answer_and_its_end_too(server: Live, handles: dict[str, str]) -> None:
    token = issue(server, "editor")
    (event,) = events(server, "grant_created")
    assert (event["actor"], event["subject"]) == ("ada", token["id"])
    assert event["details"]["grantee_role"] == "editor" and event["details"]["grantee"] == "a editor"
    assert token["token"] not in json.dumps(events(server))
    assert server.ask("DELETE", f"/api/v1/tokens/{token['id']}", token=TOKEN).status == 204
    assert the_event(server, "grant_revoked")["subject"] == token["id"]
    link = f"/api/v1/experiments/{handles['one trial']}/shares"
    assert server.ask("POST", link, {}, token=TOKEN).status == 201
    assert [each["details"]["grant"] for each in events(server, "grant_created")] == ["token", "share"]


def test_deletes_exports_and_refused_requests_are_noted(server: Live, handles: dict[str, str]) -> None:
    experiment, viewer = f"/api/v1/experiments/{handles['one trial']}", issue(server, "viewer")["token"]
    assert server.ask("DELETE", experiment, token=viewer).status == 403
    denied = the_event(server, "access_denied")
    assert (denied["actor"], denied["role"], denied["subject"]) == ("a viewer", "viewer", f"DELETE {experiment}")
    assert events(server, "experiment_deleted") == []
    assert server.ask("GET", f"{experiment}/archive", token=TOKEN).status == 200
    exported = the_event(server, "experiment_exported")
    assert exported["subject"] == handles["one trial"]
    prefix = experiment[:-1]  # a caller chooses how to name what is deleted
    assert server.ask("DELETE", f"{prefix}?purge=true", token=TOKEN).status == 204
    deleted = the_event(server, "experiment_deleted")
    assert deleted["subject"] == handles["one trial"]
    assert deleted["details"] == {"experiment": exported["details"]["experiment"], "purge": "true"}


class PolicyRefused(Conflict):
    code = "policy_refused"


def test_a_refusal_by_policy_is_noted(server: Live, monkeypatch: pytest.MonkeyPatch, handles: dict[str, str]) -> None:
    def refuse(*_: object) -> None:
        raise PolicyRefused("hostPath is not allowed: '/'")

    monkeypatch.setattr("orchestune.services.commands.change_experiment.stop", refuse)
    path = f"/api/v1/experiments/{handles['image model']}/stop"
    assert server.ask("POST", path, {}, token=TOKEN).status == 409
    event = the_event(server, "policy_refused")
    assert (event["actor"], event["details"]) == ("ada", {"reason": "hostPath is not allowed: '/'"})


def test_only_owners_read_the_log(server: Live) -> None:
    for role in ("viewer", "editor"):
        assert server.ask("GET", "/api/v1/audit", token=issue(server, role)["token"]).status == 403
    assert server.ask("GET", "/api/v1/audit", token=None).status == 401


def test_an_attacker_who_guesses_all_day_fills_no_table(server: Live) -> None:
    for number in range(200):
        assert server.ask("GET", f"/api/v1/experiments/{number}", token=f"{GUESS}{number}").status in (401, 429)
    assert len(events(server)) <= 20
    server.server.end()
    assert server.ended.wait(60)
    with server.core.store.reading() as session:
        (row,) = rows.newest(session, 1)
    summary = row.parsed_details
    assert (row.subject, summary["addresses"].partition(" ")[0]) == ("more failures", "127.0.0.1")
    assert int(summary["omitted"]) >= 180


def test_a_request_that_was_refused_is_not_noted_as_done(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.ask("DELETE", "/api/v1/tokens/0123456789abcdef", token=TOKEN).status == 404
    assert events(server, "grant_revoked") == []


def test_a_name_with_line_breaks_makes_no_second_line(handles: dict[str, str], own_core: Core) -> None:
    forged = 'eve\n2026-01-01T00:00:00Z INFO audit: sign_in actor="ada" role=owner\u2028\x1b[2J'
    event = AuditEvent(AuditKind.TOKEN_FAILED, own_core.clock.now(), forged, subject=forged, details={"reason": forged})
    plain, document = (_logged(event, style(Redaction())) for style in (PlainFormatter, JsonFormatter))
    assert plain.count("\n") == document.count("\n") == 1
    assert (
        'actor="eve\ufffd2026-01-01T00:00:00Z INFO audit: sign_in actor=\\"ada\\" role=owner\ufffd\ufffd[2J"' in plain
    )
    assert json.loads(document)["actor"].startswith("eve\ufffd2026")
    audit.record(own_core, [event])
    (item,) = audit.page(own_core, None, 10)["items"]
    assert item["actor"].isprintable() and len(item["actor"]) <= 200


def _logged(event: AuditEvent, formatter: logging.Formatter) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    audit.logger.addHandler(handler)
    try:
        audit.log(event)
    finally:
        audit.logger.removeHandler(handler)
    return stream.getvalue()


def test_the_lines_come_also_where_the_log_is_for_errors_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        caplog.handler.setLevel(logging.NOTSET)
        audit.log(AuditEvent(AuditKind.GRANT_CREATED, 0.0, "ada"))
    assert caplog.records[0].__dict__["actor"] == "ada"


def test_a_store_that_is_away_holds_up_no_answer_and_the_events_follow(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, away = audit.record, [True]

    def record(core: Core, batch: list[AuditEvent]) -> None:
        if away[0]:
            raise StoreUnavailable("the store is away")
        real(core, batch)

    monkeypatch.setattr(audit, "record", record)
    monkeypatch.setattr("orchestune.server.auditing._RETRY_SECONDS", 0.05)
    assert server.ask("GET", "/api/v1/experiments", token=GUESS).status == 401
    away[0] = False
    assert the_event(server, "token_failed")["address"] == "127.0.0.1"


def test_owners_follow_the_log_as_a_stream(server: Live) -> None:
    stream = server.send(
        "GET", "/api/v1/audit", token=TOKEN, headers={"Accept": "text/event-stream"}, connection=server.connect()
    )
    assert stream.status == 200
    server.ask("GET", "/api/v1/experiments", token=GUESS)
    lines = iter(stream.readline, b"")
    assert next(line for line in lines if line.startswith(b"event:")) == b"event: token_failed\n"


@pytest.fixture
def environment(server: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHESTUNE_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTUNE_SERVER", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("ORCHESTUNE_TOKEN", TOKEN)


@pytest.mark.usefixtures("environment")
def test_the_command_shows_the_log_to_owners_alone(
    server: Live, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.ask("GET", "/api/v1/experiments%1b%5b2J", token=GUESS)
    the_event(server, "token_failed")
    assert main(["audit", "--since", "1h"]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["TIME", "EVENT"] and line.split()[1:5] == ["token_failed", "-", "-", "127.0.0.1"]
    assert "\x1b" not in line
    assert main(["audit", "-n", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["kind"] == "token_failed"
    assert main(["audit", "--since", "2020-13-01"]) == 2 and main(["audit", "-n", "0"]) == 2
    assert main(["audit", "--since", "2099-01-01T00:00:00Z", "--json"]) == 0
    assert '"items": []' in capsys.readouterr().out
    monkeypatch.setenv("ORCHESTUNE_TOKEN", issue(server, "editor")["token"])
    assert main(["audit"]) == 2


@pytest.mark.usefixtures("environment")
def test_the_command_follows_the_log(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    def write(console: Console, values: list[dict[str, str]]) -> None:
        for event in values:
            printed.append(event["kind"])
            if event["kind"] == "grant_created":
                raise KeyboardInterrupt
        if not values or printed:
            threading.Thread(target=issue, args=(server, "viewer")).start()

    monkeypatch.setattr(Console, "lines", write)
    server.ask("GET", "/api/v1/experiments", token=GUESS)
    the_event(server, "token_failed")
    assert main(["audit", "--follow", "--json"]) == 0
    assert printed == ["token_failed", "grant_created"]


def test_the_oldest_rows_go_and_numbers_are_never_given_twice(own_core: Core) -> None:
    store = own_core.store
    event = AuditEvent(AuditKind.SIGN_IN, 0.0, "ada")
    _append(store, [event] * 150, most=100)
    _append(store, [replace(event, at=own_core.clock.now())] * 60, most=100)
    with store.reading() as session:
        remaining = rows.newest(session, 1000)
    assert (len(remaining), remaining[-1].seq) == (60, 210)  # the others are older than a year
    _append(store, [replace(event, at=own_core.clock.now())] * 200, most=0)
    _append(store, [replace(event, at=own_core.clock.now())])
    assert [item["seq"] for item in audit.page(own_core, 0, 10)["items"]] == [411]


def test_no_number_of_sign_ins_pushes_out_a_grant_or_a_deletion(own_core: Core) -> None:
    at = own_core.clock.now()
    lasting = [AuditEvent(kind, at) for kind in LASTING]
    others = [AuditEvent(kind, at) for kind in AuditKind if kind not in LASTING]
    _append(own_core.store, lasting, most=100)
    for _ in range(3):
        _append(own_core.store, others * 50, most=100)
    with own_core.store.reading() as session:
        kinds = [row.kind for row in rows.newest(session, 1000)]
    assert sorted(kind for kind in kinds if kind in LASTING) == sorted(LASTING)
    assert len(kinds) - len(LASTING) < 100 + 50 * len(others)
    _append(own_core.store, [AuditEvent(AuditKind.GRANT_CREATED, at)] * 400, most=100)
    with own_core.store.reading() as session:
        kinds = [row.kind for row in rows.newest(session, 1000)]
    assert kinds.count("grant_created") == 100, "these have a bound of their own"


def test_a_guest_link_makes_neither_rows_nor_sessions_without_bound(server: Live, handles: dict[str, str]) -> None:
    link = server.ask("POST", f"/api/v1/experiments/{handles['one trial']}/shares", {}, token=TOKEN).json()["path"]
    statuses = [server.ask("GET", link, token=None).status for _ in range(3 * MAX_SIGN_INS_PER_MINUTE)]
    assert set(statuses) == {303, 429} and statuses[:MAX_SIGN_INS_PER_MINUTE] == [303] * MAX_SIGN_INS_PER_MINUTE
    assert len(events(server, "sign_in")) == statuses.count(303) < 2 * MAX_SIGN_INS_PER_MINUTE
    assert server.ask("GET", link, token=None).headers["retry-after"]
    other = server.ask("POST", f"/api/v1/experiments/{handles['one trial']}/shares", {}, token=TOKEN).json()["path"]
    assert server.ask("GET", other, token=None).status == 303, "another link has a limit of its own"


def test_a_viewer_signs_in_a_limited_number_of_times_and_an_owner_always(server: Live) -> None:
    viewer = issue(server, "viewer")["token"]
    statuses = [sign_in(server, viewer).status for _ in range(2 * MAX_SIGN_INS_PER_MINUTE)]
    assert set(statuses) == {303, 429}
    assert [sign_in(server, TOKEN).status for _ in range(2 * MAX_SIGN_INS_PER_MINUTE)] == [
        303
    ] * 2 * MAX_SIGN_INS_PER_MINUTE


def test_the_oldest_session_of_a_link_ends_where_there_are_too_many(
    own_core: Core, handles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enter, "MAX_SESSIONS", 3)
    ada = Caller("ada", "owner", source="a")
    mine = enter.begin(own_core, replace(ada, source=digest(TOKEN))).token
    code = share(own_core, handles["one trial"], ada, name="", days=1)["path"].partition("code=")[2]
    tokens = [enter.enter_share(own_core, code).token for _ in range(5)]
    assert sum(session_of(own_core, token) is not None for token in tokens) == 3
    assert session_of(own_core, tokens[-1]) is not None
    assert session_of(own_core, mine) is not None, "sessions of others stay"


def test_a_sign_in_link_counts_as_a_sign_in_and_not_as_a_grant(server: Live) -> None:
    assert server.ask("POST", "/api/v1/sign-in", {}, token=issue(server, "viewer")["token"]).status == 201
    assert the_event(server, "sign_in_link_created")["actor"] == "a viewer"
    assert AuditKind.SIGN_IN_LINK_CREATED not in LASTING


def _append(store: Store, batch: list[AuditEvent], most: int = rows.MAX_ROWS) -> None:
    with store.transaction() as session:
        rows.append(session, batch, most)


def test_on_postgres_rows_come_in_the_order_of_their_numbers(postgres_database: str) -> None:
    store = open_store(postgres_database.replace("postgresql+psycopg://", "postgresql://"))
    try:
        with store.transaction() as session:
            rows.append(session, [AuditEvent(AuditKind.SIGN_IN, session.now, "ada")] * 300, most=2)
        with store.reading() as session:
            assert [row.seq for row in rows.after(session, 0, 10)] == [299, 300]
    finally:
        store.close()


def test_a_changed_token_file_is_noted_once(own_core: Core) -> None:
    first = audit.owners_event(own_core)
    assert first is not None and first.details["owners"] == "ada"
    audit.record(own_core, [first])
    assert audit.owners_event(own_core) is None
    with_eve = replace(own_core, owners={**own_core.owners, "a-token-that-eve-added": "eve"})
    second = audit.owners_event(with_eve)
    assert second is not None and second.kind is AuditKind.ROLE_CHANGED and second.details["owners"] == "ada, eve"
    assert "a-token-that-eve-added" not in str(second)
