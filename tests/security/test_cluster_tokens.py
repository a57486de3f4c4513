"""A user who loses a role in a cluster cannot keep it by a token requested before."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.backends.kubernetes.policy.identity import ServiceAccounts
from orchestune.kubeapi.client import ApiServer
from orchestune.ports.identity import Person

CONFIG = KubernetesConfig("lab", "ml", "http://o", "server:1")
HOUR = 3600


class Reviewing:
    """An API server that holds every token for one of an editor."""

    def __init__(self) -> None:
        self.reviewed, self.revoked = 0, False

    def call(self, method: str, path: str, body: object = None, **_: Any) -> dict[str, Any]:
        self.reviewed += 1
        user = {"username": "system:serviceaccount:ml:orchestune-editor"}
        return {"status": {"authenticated": not self.revoked, "user": user}}


def token(**claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


def who(credential: str) -> Person | None:
    return ServiceAccounts(cast(ApiServer, Reviewing()), CONFIG).who(credential)


@pytest.mark.parametrize("seconds", [24 * HOUR, 87600 * HOUR, 1e300])
def test_a_token_that_outlives_a_role_is_refused(seconds: float) -> None:
    assert who(token(iat=1_000_000, exp=1_000_000 + seconds)) is None
    bound = {"secret": {"name": "x"}, "node": {"name": "y"}}
    assert who(token(iat=1_000_000, exp=1_000_000 + seconds, **{"kubernetes.io": bound})) is None


@pytest.mark.parametrize(
    "credential",
    [
        token(iat=1_000_000, exp=1_000_000 + HOUR),
        token(iat=1_000_000, exp=1_000_000 + 365 * 24 * HOUR, **{"kubernetes.io": {"pod": {"name": "p", "uid": "1"}}}),
        token(sub="of a Secret, without an end"),
        token(exp="soon", iat=None),
        "opaque",
        "a.%%.c",
    ],
    ids=["of the command line", "of a pod", "of a Secret", "odd", "opaque", "damaged"],
)
def test_what_the_cluster_vouches_for_is_accepted(credential: str) -> None:
    person = who(credential)
    assert person is not None and (person.name, person.role) == ("orchestune-editor", "editor")


def test_the_end_of_a_token_is_known() -> None:
    assert who(token(iat=1_000_000, exp=1_000_000 + HOUR)) == Person("orchestune-editor", "editor", 1_000_000 + HOUR)
    for odd in ("soon", -1, 10**400, float("inf"), float("nan"), None):
        person = who(token(iat=1_000_000, exp=odd, **{"kubernetes.io": {"pod": {}}}))
        assert person is not None and person.expires_at is None


def test_a_token_that_was_accepted_is_reviewed_again() -> None:
    api = Reviewing()
    accounts = ServiceAccounts(cast(ApiServer, api), CONFIG)
    assert accounts.who("opaque") is not None
    api.revoked = True
    assert accounts.who("opaque") is None
    api.revoked, reviewed = False, api.reviewed
    assert accounts.who("opaque") is None and api.reviewed == reviewed, "a refused token costs one review a minute"
