"""Guessing tokens: slowed down per address, without locking out users with a valid one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestune.errors import Denied, Throttled
from orchestune.server.caller_address import caller_address, networks, throttle_key
from orchestune.server.context import ServerTimeouts
from orchestune.server.rate_limits import MAX_ADDRESSES, MAX_FAILURES_PER_MINUTE, FailedSignIns, TokenBuckets
from orchestune.services.core import Core
from tests.testbeds.seed import TOKEN
from tests.unit.server.harness import Live, live


@pytest.fixture
def server(own_core: Core) -> Iterator[Live]:
    with live(own_core, pace=ServerTimeouts(ping=0.1)) as running:
        yield running


def guess(server: Live, count: int = 3 * MAX_FAILURES_PER_MINUTE) -> list[int]:
    return [server.ask("GET", "/api/v1/experiments", token=f"guess-{number}").status for number in range(count)]


def test_guessed_tokens_are_throttled_and_a_right_one_from_the_same_address_is_not(server: Live) -> None:
    statuses = guess(server)
    assert (
        statuses[:MAX_FAILURES_PER_MINUTE] == [401] * MAX_FAILURES_PER_MINUTE
        and statuses.count(429) >= MAX_FAILURES_PER_MINUTE
    )
    reply = server.ask("GET", "/api/v1/experiments", token="another-guess")
    assert (reply.status, reply.json()["error"]["code"]) == (429, "throttled")
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert server.ask("GET", "/api/v1/experiments", token=TOKEN).status == 200


def test_the_form_and_links_are_throttled_with_the_tokens(server: Live) -> None:
    guess(server)
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    for method, path, body in (
        ("POST", "/sign-in", b"token=guess"),
        ("GET", "/sign-in?code=guess", None),
        ("GET", "/share?code=guess", None),
    ):
        reply = server.ask(method, path, body, token=None, headers=headers)
        assert reply.status == 429 and "retry-after" in reply.headers, path
    assert server.ask("POST", "/sign-in", f"token={TOKEN}".encode(), token=None, headers=headers).status == 303


def test_a_worker_route_tells_a_guesser_no_more_than_others(server: Live) -> None:
    guess(server)
    assert server.ask("POST", "/api/v1/workers/w/work", {}, token="w.w.e.guess").status == 429


def test_a_forged_address_gives_no_new_tries(server: Live) -> None:
    statuses = [
        server.ask("GET", "/api/v1/experiments", token="guess", headers={"X-Forwarded-For": f"10.0.0.{each}"}).status
        for each in range(3 * MAX_FAILURES_PER_MINUTE)
    ]
    assert 429 in statuses


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_tries_come_back_with_time() -> None:
    clock = Clock()
    failures, error = FailedSignIns(clock), Denied("the token is unknown")
    assert [failures.refusal("a", error) for _ in range(MAX_FAILURES_PER_MINUTE)] == [error] * MAX_FAILURES_PER_MINUTE
    refusal = failures.refusal("a", error)
    assert isinstance(refusal, Throttled) and refusal.seconds == 60 // MAX_FAILURES_PER_MINUTE
    assert failures.refusal("b", error) is error
    clock.now += refusal.seconds
    assert failures.refusal("a", error) is error
    assert isinstance(failures.refusal("a", error), Throttled)


def test_a_million_addresses_take_bounded_memory_and_forget_no_busy_one() -> None:
    buckets = TokenBuckets(1, clock=Clock())
    assert buckets.take("attacker") == 0.0
    for number in range(MAX_ADDRESSES * 3):
        buckets.take(str(number))
        assert buckets.take("attacker") > 0.0
    assert len(buckets._buckets) == MAX_ADDRESSES


def test_an_ipv6_caller_is_its_network() -> None:
    assert throttle_key("2001:db8::1") == throttle_key("2001:db8::ffff:1") != throttle_key("2001:db8:0:1::1")
    assert throttle_key("10.0.0.1") == "10.0.0.1" and throttle_key("local") == "local"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.0.0.9", "6.6.6.6", "10.0.0.9"),  # no proxy of ours: any client can write that header
        ("127.0.0.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),  # the caller wrote the first one
        ("127.0.0.1", "203.0.113.7, 10.1.2.3", "203.0.113.7"),  # two proxies
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown\n", "127.0.0.1"),
        ("::ffff:127.0.0.1", "2001:db8::7", "2001:db8::7"),
        (None, "203.0.113.7", "203.0.113.7"),
    ],
)
def test_only_trusted_proxies_say_who_calls(peer: str | None, forwarded: str, expected: str) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"client": (peer, 1) if peer else None, "headers": headers}
    assert caller_address(scope, networks("127.0.0.1, 10.1.0.0/16")) == expected


def test_without_trusted_proxies_the_header_is_ignored(own_core: Core) -> None:
    scope = {"client": ("127.0.0.1", 1), "headers": [(b"x-forwarded-for", b"6.6.6.6")]}
    assert caller_address(scope) == "127.0.0.1"


def test_browsers_are_told_to_stay_with_https_where_it_is_there(own_core: Core) -> None:
    for url, expected in (("https://lab.example.org", True), ("http://lab.example.org", False)):
        with live(replace(own_core, url=url)) as server:
            for path in ("/sign-in", "/api/v1/nothing", "/healthz"):
                assert ("strict-transport-security" in server.ask("GET", path, token=None).headers) is expected, path
