from __future__ import annotations

import pytest

from orchestune.domain.access.claims import ANYONE, ClaimRules, NotAdmitted

ROLES = {"ml-team": "editor", "ml-leads": "owner", "guests": "viewer"}


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["ml-team"], "editor"),
        (["guests", "ml-leads", "ml-team"], "owner"),
        (["unknown", "guests"], "viewer"),
        ("ml-team", "editor"),
        ([3, None, "guests"], "viewer"),
    ],
)
def test_the_highest_role_of_the_groups_counts(groups: object, role: str) -> None:
    assert ClaimRules(ROLES).role_of({"groups": groups}) == role


@pytest.mark.parametrize("groups", [None, [], ["catering"], "catering", 3, {"ml-team": True}, ["ml-team,ml-leads"]])
def test_without_a_group_that_has_a_role_the_reason_names_those_that_have(groups: object) -> None:
    with pytest.raises(NotAdmitted, match=r"expected one of 'guests' \(viewer\), 'ml-leads' \(owner\), 'ml-team'"):
        ClaimRules(ROLES).role_of({"groups": groups})


def test_everyone_may_have_a_role_and_groups_a_higher_one() -> None:
    rules = ClaimRules({ANYONE: "viewer", "ml-team": "editor"})
    assert (rules.role_of({}), rules.role_of({"groups": ["ml-team"]})) == ("viewer", "editor")


def test_claims_may_be_nested_or_have_dots_in_their_names() -> None:
    nested = {"realm_access": {"roles": ["ml-team"]}}
    assert ClaimRules(ROLES, "realm_access.roles").role_of(nested) == "editor"
    assert ClaimRules(ROLES, "https://lab.example/groups").role_of({"https://lab.example/groups": "guests"}) == "viewer"


@pytest.mark.parametrize("verified", [None, False, "false", 1])
def test_an_address_counts_only_if_it_is_verified(verified: object) -> None:
    claims = {"email": "ada@example.org", "email_verified": verified}
    with pytest.raises(NotAdmitted, match=r"not verified the e-mail address 'ada@example\.org'"):
        ClaimRules(ROLES).name_of(claims)
    with pytest.raises(NotAdmitted, match="names no group"):
        ClaimRules({"ada@example.org": "owner"}, groups_claim="email").role_of(claims)


def test_other_claims_may_name_a_person() -> None:
    assert ClaimRules(ROLES, name_claim="preferred_username").name_of({"preferred_username": "ada"}) == "ada"
    for name in (None, "", "a\nb", "x" * 201, 7):
        with pytest.raises(NotAdmitted, match="states no 'preferred_username'"):
            ClaimRules(ROLES, name_claim="preferred_username").name_of({"preferred_username": name})


def test_claims_are_complete_with_name_and_groups() -> None:
    complete = {"email": "a", "email_verified": True, "groups": []}
    assert ClaimRules(ROLES).are_complete(complete)
    assert not any(ClaimRules(ROLES).are_complete({**complete, name: None}) for name in ("email", "groups"))
    assert ClaimRules({ANYONE: "viewer"}).are_complete({**complete, "groups": None})
