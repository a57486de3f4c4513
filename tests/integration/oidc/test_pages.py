"""People sign in to the pages at a real identity provider."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from orchestune.services.access.single_sign_on import CHECK_SECONDS, MAX_SIGN_INS
from tests.integration.oidc.conftest import Team
from tests.testbeds.oidc.provider import ADA, Person
from tests.unit.server.harness import until


def test_a_person_signs_in_and_comes_to_the_page_they_wanted_with_their_highest_role(team: Team) -> None:
    page = Person("ada").get(f"{team.url}/experiments/x?tab=logs")
    assert f"Sign in with {urlsplit(team.provider.issuer).netloc}" in page.text
    person, response = team.sign_in("ada", "/experiments?x=1")
    assert (response.status_code, response.headers["location"]) == (303, "/experiments?x=1")
    assert team.status(person, "/api/v1/sessions") == 200, "only owners may read it"
    assert "Signed in as <b>ada@example.org</b>, owner" in person.get(f"{team.url}/experiments").text
    (event,) = team.events("sign_in")
    assert (event["actor"], event["role"], event["details"]) == ("ada@example.org", "owner", {"by": "provider"})


def test_the_request_has_pkce_a_state_and_a_nonce_and_cookies_that_only_this_browser_has(team: Team) -> None:
    begun = Person("ada").get(f"{team.url}/sign-in/provider", follow=False)
    query = {key: values[0] for key, values in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    assert query["code_challenge_method"] == "S256" and len(query["code_challenge"]) == 43
    assert len(query["state"]) == len(query["nonce"]) == 44 and query["state"] != query["nonce"]
    assert query["redirect_uri"] == f"{team.url}/sign-in/callback"
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie


def test_cookies_are_secure_behind_tls(team: Team) -> None:
    object.__setattr__(team.server.core, "url", "https://orchestune.example.org")
    assert "Secure" in Person("ada").get(f"{team.url}/sign-in/provider", follow=False).headers["set-cookie"]


def test_who_has_no_role_is_refused_with_the_groups_that_would_do(team: Team) -> None:
    person, response = team.sign_in("bob")
    assert response.status_code == 401
    assert "No group of this account has a role on this server" in response.text
    assert "ml-leads" in response.text and "ml-team" in response.text and "catering" not in response.text
    assert team.status(person) == 401
    until(lambda: team.events("sign_in_failed"), "the event, for which the answer does not wait")
    (event,) = team.events("sign_in_failed")
    assert event["details"]["by"] == "provider" and "no group" in str(event["details"])  # type: ignore[index]


@pytest.mark.parametrize("next_page", ["//evil.example", "https://evil.example", "/\\evil.example", "/sign-in"])
def test_no_sign_in_leads_to_another_site(team: Team, next_page: str) -> None:
    _, response = team.sign_in("ada", next_page)
    assert response.headers["location"] == "/experiments"


def test_the_callback_belongs_to_the_browser_that_began(team: Team) -> None:
    attacker = Person("ada")
    begun = attacker.get(f"{team.url}/sign-in/provider", follow=False)
    back = attacker.at_provider(begun.headers["location"])
    victim = Person("bob")
    assert victim.get(back).status_code == 401
    victim.get(f"{team.url}/sign-in/provider", follow=False)  # its own cookie does not fit either
    response = victim.get(back)
    assert response.status_code == 401 and "has not begun this sign-in" in response.text
    assert team.status(victim) == 401
    assert attacker.get(back, follow=False).status_code == 303
    assert attacker.get(back, follow=False).status_code == 401, "a code is valid once"


def test_a_changed_cookie_is_refused(team: Team) -> None:
    person = Person("ada")
    begun = person.get(f"{team.url}/sign-in/provider", follow=False)
    back = person.at_provider(begun.headers["location"])
    (name,) = [each.name for each in person.browser.cookies if "sign-in-" in each.name]
    text, _, signature = str(person.browser.cookies[name]).rpartition(".")
    person.browser.cookies.clear()
    person.browser.cookies.set(name, f"{text}x.{signature}")
    assert person.get(back).status_code == 401


def test_a_sign_in_at_the_provider_has_to_end_in_time(team: Team) -> None:
    person = Person("ada")
    begun = person.get(f"{team.url}/sign-in/provider", follow=False)
    back = person.at_provider(begun.headers["location"])
    team.world.clock.pass_time(601)
    assert "too long ago" in person.get(back).text


def test_an_error_of_the_provider_is_shown_without_the_text_of_the_address(team: Team) -> None:
    person = Person("ada")
    begun = person.get(f"{team.url}/sign-in/provider", follow=False)
    state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
    page = person.get(f"{team.url}/sign-in/callback?state={state}&error=access_denied&error_description=call+evil")
    assert page.status_code == 401 and "access_denied" in page.text and "evil" not in page.text


def test_failed_sign_ins_are_throttled(team: Team) -> None:
    person = Person("ada")
    statuses = [person.get(f"{team.url}/sign-in/callback?state=x&code=y").status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert team.sign_in("ada")[1].status_code == 303, "a valid sign-in is still accepted"


def test_a_role_follows_the_groups_at_the_provider(team: Team) -> None:
    person, _ = team.sign_in("ada")
    assert team.status(person, "/api/v1/sessions") == 200
    team.provider.change("ada", {**ADA, "groups": ["ml-team"]})
    for _ in range(3):  # the refresh token is another one each time
        team.world.clock.pass_time(CHECK_SECONDS + 1)
        assert team.status(person, "/api/v1/sessions") == 403
    assert team.status(person) == 200
    team.provider.change("ada", {**ADA, "groups": []})
    team.world.clock.pass_time(CHECK_SECONDS + 1)
    assert team.status(person) == 401


def test_who_has_left_is_signed_out_at_the_next_check(team: Team) -> None:
    person, _ = team.sign_in("ada")
    team.provider.change("ada", None)
    assert team.status(person) == 200
    team.world.clock.pass_time(CHECK_SECONDS + 1)
    assert team.status(person) == 401
    assert team.server.ask("GET", "/api/v1/sessions", token="secret-token").json() == []


def test_a_session_ends_after_the_longest_time(team: Team) -> None:
    person, _ = team.sign_in("ada")
    team.world.clock.pass_time(team.server.core.session_seconds - 10)
    assert team.status(person) == 200
    team.world.clock.pass_time(20)
    assert team.status(person) == 401


def test_signing_out_revokes_what_the_provider_gave(team: Team) -> None:
    person, _ = team.sign_in("ada")
    with team.server.core.store.reading() as session:
        from orchestune.store import credentials

        (row,) = credentials.every(session, "session")
    assert row.renewal is not None and row.subject is not None
    answer = person.browser.post(
        f"{team.url}/sign-out", headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False, timeout=60
    )
    assert answer.status_code == 303 and team.status(person) == 401
    sign_on = team.server.core.single_sign_on
    assert sign_on is not None
    with pytest.raises(Exception, match="refused the sign-in"):
        sign_on.renew(row.renewal, row.subject)


def test_a_person_has_a_bounded_number_of_sessions(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_SIGN_INS == 50
    monkeypatch.setattr("orchestune.services.access.single_sign_on.MAX_SIGN_INS", 1)
    first, _ = team.sign_in("ada")
    second, _ = team.sign_in("ada")
    assert (team.status(first), team.status(second)) == (401, 200)
