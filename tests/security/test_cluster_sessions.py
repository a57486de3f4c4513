"""People of a cluster: sessions and streams end with their tokens, and names that they claim change no limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from orchestune.domain.access.audit import FAILURES, AuditKind
from orchestune.errors import Denied, Throttled
from orchestune.ports.identity import Person
from orchestune.server import auditing, caller_limits
from orchestune.server.caller_limits import MAX_REQUESTS, CallerLimits, key_of
from orchestune.server.context import ServerTimeouts
from orchestune.server.rate_limits import MAX_FAILURES_PER_MINUTE as RATE
from orchestune.server.thread_pools import ANALYSIS_THREADS_PER_CALLER, COLD_THREADS_PER_CALLER
from orchestune.services.access import authenticate, sign_in
from orchestune.services.access.authenticate import VOUCHED_SECONDS
from orchestune.services.commands import create_experiment
from orchestune.services.core import Caller, Core
from orchestune.services.queries import read_experiments
from tests.contract.world import CoreWorld
from tests.security.target import OWNER, SPECIFICATION
from tests.unit.server.harness import TIMEOUT, Live, live, until

EDITOR, OTHER = "a-token-of-a-cluster", "another-token-of-it"
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


class Cluster:
    """A cluster that vouches for the holders of its tokens, until they are removed."""

    def __init__(self) -> None:
        self.people = {each: Person("orchestune-editor", "editor") for each in (EDITOR, OTHER)}
        self.reviewed: list[str] = []
        self.answers = threading.Event()
        """unset: reviews of unknown tokens hang"""
        self.answers.set()

    def who(self, token: str) -> Person | None:
        self.reviewed.append(token)
        if token not in self.people:
            assert self.answers.wait(TIMEOUT)
        return self.people.get(token)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    created = CoreWorld(tmp_path)
    yield created
    created.close()


@pytest.fixture
def core(world: CoreWorld, cluster: Cluster) -> Core:
    return replace(world.core, identities=(cluster,))


@pytest.fixture
def server(core: Core) -> Iterator[Live]:
    with live(core, pace=ServerTimeouts(ping=0.05, page_interval=0.05)) as running:
        yield running


def by_token(core: Core, token: str) -> str:
    caller = authenticate.identify(core, token)
    assert caller is not None
    return sign_in.begin(core, caller).token


def by_link(core: Core, token: str) -> str:
    caller = authenticate.identify(core, token)
    assert caller is not None
    return sign_in.enter(core, sign_in.invite(core, caller)["path"].partition("code=")[2]).token


@pytest.mark.parametrize("enter", [by_token, by_link])
@pytest.mark.parametrize("lifetime", [600.0, 24 * 3600.0, None])
def test_a_session_ends_with_the_token_of_the_cluster(
    world: CoreWorld, core: Core, cluster: Cluster, enter: Callable[[Core, str], str], lifetime: float | None
) -> None:
    end = None if lifetime is None else world.clock.now() + lifetime
    cluster.people[EDITOR] = Person("orchestune-editor", "editor", end)
    session = enter(core, EDITOR)
    expected = min(lifetime or VOUCHED_SECONDS, VOUCHED_SECONDS)
    world.clock.pass_time(expected - 10)
    caller = authenticate.session_of(core, session)
    assert caller is not None and (caller.role, caller.shared) == ("editor", True)
    world.clock.pass_time(20)
    assert authenticate.session_of(core, session) is None


def test_a_link_does_not_outlive_the_token_of_the_cluster(world: CoreWorld, core: Core, cluster: Cluster) -> None:
    cluster.people[EDITOR] = Person("orchestune-editor", "editor", world.clock.now() + 60)
    caller = authenticate.identify(core, EDITOR)
    assert caller is not None
    link = sign_in.invite(core, caller)["path"].partition("code=")[2]
    world.clock.pass_time(70)
    with pytest.raises(Denied):
        sign_in.enter(core, link)


def test_signing_in_again_does_not_prolong_a_session(world: CoreWorld, core: Core) -> None:
    session = by_token(core, EDITOR)
    world.clock.pass_time(VOUCHED_SECONDS - 10)
    by_token(core, EDITOR)
    world.clock.pass_time(20)
    assert authenticate.session_of(core, session) is None


def test_owners_see_sessions_and_end_them_and_that_is_noted(server: Live) -> None:
    form = {**SAME_SITE, "Content-Type": "application/x-www-form-urlencoded"}
    entered = server.ask("POST", "/sign-in", f"token={EDITOR}".encode(), token=None, headers=form)
    headers = {"Cookie": entered.headers["set-cookie"].partition(";")[0]}
    (listed,) = server.ask("GET", "/api/v1/sessions", token=OWNER).json()
    assert (listed["name"], listed["role"]) == ("orchestune-editor", "editor")
    for method, path in (("GET", "/api/v1/sessions"), ("DELETE", f"/api/v1/sessions/{listed['id']}")):
        assert server.ask(method, path, token=EDITOR).status == 403
    assert server.ask("GET", "/api/v1/experiments", token=None, headers=headers).status == 200
    assert server.ask("DELETE", f"/api/v1/sessions/{listed['id']}", token=OWNER).status == 204
    assert server.ask("GET", "/api/v1/experiments", token=None, headers=headers).status == 401
    assert server.ask("GET", "/api/v1/sessions", token=OWNER).json() == []
    assert server.ask("DELETE", f"/api/v1/sessions/{listed['id']}", token=OWNER).status == 404
    (event,) = events(server, "grant_revoked")
    assert (event["subject"], event["details"]) == (listed["id"], {"grant": "session"})


def test_a_stream_ends_after_the_cluster_has_taken_the_role_away(server: Live, cluster: Cluster) -> None:
    stream = server.send(
        "GET",
        "/api/v1/experiments",
        token=EDITOR,
        headers={"Accept": "text/event-stream"},
        connection=server.connect(),
    )
    assert stream.status == 200 and stream.readline()
    del cluster.people[EDITOR]
    server.context.callers.clear()  # as after a minute
    assert len(list(islice(stream, 1000))) < 1000, "the stream goes on"


def test_names_that_callers_claim_neither_escape_nor_use_up_a_limit() -> None:
    named = [Caller(name, "editor", shared=True, source=token) for name, token in (("bob", "1"), ("eve", "2"))]
    assert len({key_of(caller) for caller in named}) == 1
    crowd = CallerLimits()
    held = [crowd.one_of(key_of(replace(named[0], name=f"u{i}")), MAX_REQUESTS) for i in range(MAX_REQUESTS)]
    for each in held:
        each.__enter__()
    with pytest.raises(Throttled), crowd.one_of(key_of(named[0]), MAX_REQUESTS):
        pass
    victim = Caller("eve", "editor", source="3")
    with crowd.one_of(key_of(victim), MAX_REQUESTS):
        pass


def test_unknown_tokens_hide_no_refusal_of_a_caller_from_the_same_address(server: Live) -> None:
    for number in range(auditing._MAX_ROWS_PER_KIND + 10):
        assert server.ask("GET", "/api/v1/experiments", token=f"t.junk{number}").status in (401, 429)
    for token in (EDITOR, OTHER):  # one of them has used up what is its own
        for _ in range(auditing._MAX_ROWS_PER_CALLER + 5 if token == EDITOR else 1):
            assert server.ask("GET", "/api/v1/audit", token=token, headers={"Orchestune-User": token}).status == 403
    until(lambda: OTHER in [each["actor"] for each in events(server, "access_denied")], "the other one's refusal")
    denied = [each["actor"] for each in events(server, "access_denied")]
    assert denied.count(EDITOR) <= auditing._MAX_ROWS_PER_CALLER + 1
    assert len(events(server, "token_failed")) <= auditing._MAX_ROWS_PER_CALLER + 1


def test_streams_of_one_person_keep_nobody_of_the_role_from_requests(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 idle streams of one editor locked all editors out, even from stopping their own experiments."""
    monkeypatch.setattr(caller_limits, "MAX_TOKEN_REQUESTS", 3)
    monkeypatch.setattr(caller_limits, "MAX_SHARED_REQUESTS", 4)
    path = "/api/v1/experiments"
    created = server.ask("POST", path, {"specification": SPECIFICATION}, token=OTHER).json()["handle"]

    def stream(token: str) -> int:
        headers = {"Accept": "text/event-stream"}
        return server.send("GET", path, token=token, headers=headers, connection=server.connect()).status

    assert [stream(EDITOR) for _ in range(5)] == [200, 200, 200, 429, 429]
    assert [stream(OTHER) for _ in range(2)] == [200, 429], "the role has four"
    for token in (EDITOR, OTHER):
        assert server.ask("GET", path, token=token).status == 200
    assert server.ask("POST", f"{path}/{created}/stop", {}, token=OTHER).status == 200


class Gate:
    """A slow function: calls that `holds` selects wait until it is opened."""

    def __init__(self, function: Callable[..., Any], holds: Callable[..., bool] = lambda *_: True) -> None:
        self._function, self._holds, self._open = function, holds, threading.Event()
        self.waiting = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._holds(*args):
            self.waiting += 1
            assert self._open.wait(TIMEOUT)
        return self._function(*args, **kwargs)

    def open(self) -> None:
        self._open.set()


def test_slow_requests_of_one_person_leave_turns_to_others_of_the_role(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four slow requests of one editor, and more behind them, kept all editors of the cluster waiting for minutes."""
    path = "/api/v1/experiments"
    created = server.ask("POST", path, {"specification": SPECIFICATION}, token=OTHER).json()["handle"]
    gate = Gate(read_experiments.best)
    monkeypatch.setattr(read_experiments, "best", gate)
    with ThreadPoolExecutor(10) as attackers:
        slow = [attackers.submit(server.ask, "GET", f"{path}/{created}/best", token=EDITOR) for _ in range(10)]
        until(lambda: gate.waiting == COLD_THREADS_PER_CALLER // 2, "half of the turns of the role")
        assert server.ask("GET", path, token=OTHER).status == 200
        assert server.ask("POST", f"{path}/{created}/stop", {}, token=OTHER).status == 200
        assert gate.waiting == COLD_THREADS_PER_CALLER // 2
        gate.open()
        assert {reply.result().status for reply in slow} == {200}


def test_constraints_that_take_long_to_check_occupy_no_turn_of_other_requests(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, constrained = "/api/v1/experiments", {**SPECIFICATION, "constraints": ["x <= 1"]}
    gate = Gate(create_experiment.create_experiment, lambda core, new, *_: bool(new.specification.get("constraints")))
    monkeypatch.setattr(create_experiment, "create_experiment", gate)
    with ThreadPoolExecutor(10) as attackers:
        body = {"specification": constrained}
        slow = [attackers.submit(server.ask, "POST", path, body, token=token) for token in (EDITOR, OTHER) * 5]
        until(lambda: gate.waiting == ANALYSIS_THREADS_PER_CALLER, "an experiment that is being checked")
        for token in (EDITOR, OTHER):
            assert server.ask("POST", path, {"specification": SPECIFICATION}, token=token).status == 201
        assert gate.waiting == ANALYSIS_THREADS_PER_CALLER
        gate.open()
        assert {reply.result().status for reply in slow} == {201}


def expire(server: Live) -> None:
    """Let the server review all tokens again, as after a minute."""
    server.context.callers._clock = lambda: float("inf")


def test_reviews_of_unknown_tokens_occupy_one_thread_and_delay_no_other_caller(server: Live, cluster: Cluster) -> None:
    """With 200 concurrent unknown tokens a viewer waited up to 20 seconds for each answer."""
    assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 200
    cluster.answers.clear()
    with ThreadPoolExecutor(30) as attackers:
        junk = [attackers.submit(server.ask, "GET", "/api/v1/experiments", token=f"junk{n}") for n in range(30)]
        until(lambda: any("junk" in token for token in cluster.reviewed), "a review")
        assert server.ask("GET", "/api/v1/experiments", token=OWNER).status == 200
        expire(server)
        assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 200, "accepted a minute ago"
        assert len([token for token in cluster.reviewed if "junk" in token]) == 1
        cluster.answers.set()
        statuses = [reply.result().status for reply in junk]
    assert set(statuses) == {401, 429} and statuses.count(429) >= 30 - RATE - 2
    assert len([token for token in cluster.reviewed if "junk" in token]) <= RATE + 2


def test_a_throttled_address_has_one_review_at_a_time_and_a_new_token_is_still_accepted(
    server: Live, cluster: Cluster
) -> None:
    for number in range(RATE):
        assert server.ask("GET", "/api/v1/experiments", token=f"junk{number}").status == 401
    cluster.answers.clear()
    with ThreadPoolExecutor(1) as attackers:
        first = attackers.submit(server.ask, "GET", "/api/v1/experiments", token="junk")
        until(lambda: "junk" in cluster.reviewed, "the review")
        headers = {**SAME_SITE, "Content-Type": "application/x-www-form-urlencoded"}
        assert server.ask("GET", "/api/v1/experiments", token="more junk").status == 429
        assert server.ask("POST", "/sign-in", b"token=form", token=None, headers=headers).status == 429
        assert not {"more junk", "form"} & {*cluster.reviewed}
        cluster.answers.set()
        assert first.result().status == 429
    assert server.ask("GET", "/api/v1/experiments", token=OTHER).status == 200


def test_every_kind_of_failure_has_a_budget_of_its_own(server: Live) -> None:
    assert {AuditKind.POLICY_REFUSED, AuditKind.ACCESS_DENIED} < FAILURES
    created = server.ask("POST", "/api/v1/experiments", {"specification": SPECIFICATION}, token=EDITOR)
    assert created.status == 201
    for _ in range(auditing._MAX_ROWS_PER_KIND + 10):
        server.ask("GET", "/api/v1/audit", token=EDITOR)
    path = f"/api/v1/experiments/{created.json()['handle']}?purge=true"
    assert server.ask("DELETE", path, token=OWNER).status == 204
    assert len(events(server, "experiment_deleted")) == 1
    assert server.ask("GET", "/api/v1/experiments", token="t.junk").status == 401
    until(lambda: events(server, "token_failed"), "the unknown token")


def test_links_that_an_editor_takes_back_make_no_accepted_token_unknown(server: Live, cluster: Cluster) -> None:
    """With 5 links a second and a flood of unknown tokens, all users of a forwarded port were answered 429."""
    created = server.ask("POST", "/api/v1/experiments", {"specification": SPECIFICATION}, token=OTHER).json()
    assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 200
    link = server.ask("POST", f"/api/v1/experiments/{created['handle']}/shares", {}, token=OTHER).json()["id"]
    for number in range(RATE):
        assert server.ask("GET", "/api/v1/experiments", token=f"junk{number}").status == 401
    cluster.answers.clear()
    with ThreadPoolExecutor(1) as attackers:
        junk = attackers.submit(server.ask, "GET", "/api/v1/experiments", token="junk")
        until(lambda: "junk" in cluster.reviewed, "the review")
        assert server.ask("DELETE", f"/api/v1/shares/{link}", token=OTHER).status == 204
        reviews = cluster.reviewed.count(EDITOR)
        assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 200
        assert cluster.reviewed.count(EDITOR) == reviews + 1, "after a revocation it is reviewed again"
        cluster.answers.set()
        assert junk.result().status == 429


def test_a_token_that_the_cluster_no_longer_accepts_is_an_unknown_one(server: Live, cluster: Cluster) -> None:
    assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 200
    del cluster.people[EDITOR]
    expire(server)
    assert server.ask("GET", "/api/v1/experiments", token=EDITOR).status == 401
    assert not server.context.callers.was_known(EDITOR)


def test_sign_outs_without_a_session_change_nothing(server: Live, core: Core) -> None:
    """They need no authentication: each took the lock of the store, and kept other callers from being cached."""
    revocations = server.context.callers.revocations
    cookie = {"Cookie": f"orchestune-{server.port}=s.made-up"}
    with core.store.transaction(), core.store.impatient(0.1):
        reply = server.ask("POST", "/sign-out", b"", token=None, headers={**SAME_SITE, **cookie})
    assert (reply.status, reply.headers["location"]) == (303, "/sign-in")
    assert server.context.callers.revocations == revocations


def events(server: Live, kind: str) -> list[dict[str, object]]:
    reply = server.ask("GET", "/api/v1/audit?limit=1000", token=OWNER)
    assert reply.status == 200
    return [event for event in reply.json()["items"] if event["kind"] == kind]
