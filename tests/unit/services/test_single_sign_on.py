"""Sign-ins of people whom an identity provider has identified: how long they last, and who asks the provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestune.errors import Denied, NotFound, ProviderUnavailable
from orchestune.ports.single_sign_on import BrowserSecrets, DeviceSignIn, VerifiedPerson
from orchestune.services import audit, ownership
from orchestune.services.access import authenticate, grant_access, sign_in, single_sign_on
from orchestune.services.access.single_sign_on import CHECK_SECONDS, MAX_UNRENEWED_SECONDS, RETRY_SECONDS
from orchestune.services.core import Caller, Core
from tests.contract.world import CoreWorld

ADA = VerifiedPerson("ada's id", "ada@example.org", "editor", "renewal 1")


@dataclass
class FakeProvider:
    """A provider that identifies one person."""

    name: str = "the lab"
    person: VerifiedPerson = ADA
    problem: Exception | None = None
    renewals: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """called during a renewal"""

    def address(self, secrets: BrowserSecrets, callback: str) -> str:
        return f"https://id.example/?state={secrets.state}"

    def person_of_code(self, code: str, secrets: BrowserSecrets, callback: str) -> VerifiedPerson:
        return self.person

    def begin_device(self) -> DeviceSignIn:
        return DeviceSignIn("handle", "AB-CD", "https://id.example/device", "", 600, 5)

    def person_of_device(self, handle: str) -> VerifiedPerson | None:
        return self.person if handle == "approved" else None

    def renew(self, renewal: str, subject: str) -> VerifiedPerson:
        self.renewals.append(renewal)
        self.meanwhile()
        if self.problem:
            raise self.problem
        return replace(self.person, renewal=f"renewal {len(self.renewals) + 1}")

    def revoke(self, renewal: str) -> None:
        self.revoked.append(renewal)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    created = CoreWorld(tmp_path)
    yield created
    created.close()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def core(world: CoreWorld, provider: FakeProvider) -> Core:
    return replace(world.core, single_sign_on=provider)


def log_in(core: Core) -> str:
    """Sign in a command line; its token."""
    signed_in = single_sign_on.finish_login(core, "approved")
    assert signed_in is not None
    return signed_in.token


def open_pages(core: Core) -> str:
    """Sign in a browser; its token."""
    begun = single_sign_on.begin(core, "/experiments")
    return single_sign_on.finish(core, begun.cookie, begun.state, "code")[0].token


def caller_of(core: Core, token: str) -> Caller:
    caller = authenticate.authenticate(core, token) or authenticate.session_of(core, token)
    assert caller is not None
    return caller


def is_over(core: Core, token: str) -> bool:
    return authenticate.authenticate(core, token) is None and authenticate.session_of(core, token) is None


def test_browser_and_command_line_are_the_same_verified_person(core: Core) -> None:
    callers = [caller_of(core, log_in(core)), caller_of(core, open_pages(core))]
    assert [(each.name, each.role, each.shared) for each in callers] == [("ada@example.org", "editor", False)] * 2
    assert len({ownership.principal(core, each) for each in callers}) == 1
    assert ownership.principal(core, callers[0]) is not None
    assert callers[0].source != callers[1].source


@pytest.mark.parametrize("begin", [log_in, open_pages])
def test_the_provider_is_asked_when_a_check_is_due_with_the_latest_renewal(
    world: CoreWorld, core: Core, provider: FakeProvider, begin: Callable[[Core], str]
) -> None:
    token = begin(core)
    for number in (1, 2):
        assert not caller_of(core, token).check_due
        single_sign_on.check_again(core, caller_of(core, token).source)
        world.clock.pass_time(CHECK_SECONDS + 1)
        assert caller_of(core, token).check_due
        provider.person = replace(ADA, role=("viewer", "owner")[number - 1])
        single_sign_on.check_again(core, caller_of(core, token).source)
        assert caller_of(core, token).role == provider.person.role
    assert provider.renewals == ["renewal 1", "renewal 2"]
    changes = [event["details"]["new_role"] for event in audit.page(core, None, 10)["items"]]
    assert changes == ["viewer", "owner"]


def test_a_provider_that_does_not_answer_ends_no_sign_in_and_is_asked_again_later(
    world: CoreWorld, core: Core, provider: FakeProvider
) -> None:
    token = log_in(core)
    provider.problem = ProviderUnavailable("down")
    world.clock.pass_time(CHECK_SECONDS + 1)
    for _ in range(5):
        single_sign_on.check_again(core, caller_of(core, token).source)
    assert len(provider.renewals) == 1 and not caller_of(core, token).check_due
    world.clock.pass_time(RETRY_SECONDS + 1)
    provider.problem = None
    single_sign_on.check_again(core, caller_of(core, token).source)
    assert provider.renewals == ["renewal 1"] * 2
    world.clock.pass_time(core.login_seconds)
    assert is_over(core, token)


def test_a_refusal_ends_the_sign_in_and_the_sessions_of_its_links(
    world: CoreWorld, core: Core, provider: FakeProvider
) -> None:
    token, other = log_in(core), open_pages(core)
    code = sign_in.invite(core, caller_of(core, token))["path"].partition("code=")[2]
    browser = sign_in.enter(core, code).token
    assert caller_of(core, browser).subject == ADA.subject
    world.clock.pass_time(CHECK_SECONDS + 1)
    provider.problem = Denied("gone")
    single_sign_on.check_again(core, caller_of(core, browser).source)
    assert (is_over(core, token), is_over(core, browser), is_over(core, other)) == (True, True, False)
    (event,) = audit.page(core, None, 10)["items"]
    assert (event["kind"], event["actor"]) == ("grant_revoked", "ada@example.org")
    assert event["details"] == {"grant": "login", "reason": "gone"}


def test_of_concurrent_checks_one_asks_the_provider(world: CoreWorld, core: Core, provider: FakeProvider) -> None:
    token = log_in(core)
    world.clock.pass_time(CHECK_SECONDS + 1)
    provider.meanwhile = lambda: single_sign_on.check_again(core, caller_of(core, token).source)
    single_sign_on.check_again(core, caller_of(core, token).source)
    assert provider.renewals == ["renewal 1"]


def test_what_a_check_gets_after_the_person_has_signed_out_is_revoked(
    world: CoreWorld, core: Core, provider: FakeProvider
) -> None:
    token = log_in(core)
    caller = caller_of(core, token)
    world.clock.pass_time(CHECK_SECONDS + 1)
    provider.meanwhile = lambda: single_sign_on.end_login(core, caller)
    single_sign_on.check_again(core, caller.source)
    assert is_over(core, token) and provider.revoked == ["renewal 2"]


@pytest.mark.parametrize("begin", [log_in, open_pages])
def test_without_a_renewal_a_sign_in_lasts_an_hour(
    world: CoreWorld, core: Core, provider: FakeProvider, begin: Callable[[Core], str]
) -> None:
    provider.person = replace(ADA, renewal="")
    token = begin(core)
    world.clock.pass_time(MAX_UNRENEWED_SECONDS - 1)
    assert not caller_of(core, token).check_due
    world.clock.pass_time(2)
    assert is_over(core, token)


def test_owners_list_and_end_both_kinds_of_sign_ins(core: Core) -> None:
    tokens = [log_in(core), open_pages(core)]
    for grant in grant_access.sessions(core):
        assert grant["name"] == "ada@example.org"
        grant_access.end_session(core, grant["id"])
    assert all(is_over(core, token) for token in tokens) and grant_access.sessions(core) == []
    with pytest.raises(NotFound):
        grant_access.end_session(core, "0" * 16)


def test_sign_ins_end_when_single_sign_on_is_turned_off(world: CoreWorld, core: Core) -> None:
    tokens = [log_in(core), open_pages(core)]
    assert all(is_over(world.core, token) for token in tokens)
    with pytest.raises(NotFound, match="no single sign-on"):
        single_sign_on.begin_login(world.core)


def test_a_token_of_a_command_line_is_no_cookie_and_the_other_way_round(core: Core) -> None:
    assert authenticate.session_of(core, log_in(core)) is None
    assert authenticate.authenticate(core, open_pages(core)) is None


def test_rows_have_no_secret_in_plain_text(core: Core, world: CoreWorld) -> None:
    tokens = [log_in(core), open_pages(core)]
    stored = b"".join(path.read_bytes() for path in world.folder.glob("orchestune.db*"))
    assert b"renewal 1" in stored  # the provider has encrypted it
    assert not any(token.encode() in stored for token in tokens)
