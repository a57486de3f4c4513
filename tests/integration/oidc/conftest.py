"""A server whose people sign in at a real identity provider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from orchestune.domain.access.claims import ClaimRules
from orchestune.oidc.provider import OidcProvider
from orchestune.oidc.settings import OidcSettings
from tests.contract.world import CoreWorld
from tests.testbeds.oidc.provider import ADA, CLIENT_ID, CLIENT_SECRET, IdentityProvider, Person, identity_provider
from tests.unit.server.harness import Live, live

ROLES = {"ml-team": "editor", "ml-leads": "owner"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the provider."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.oidc)


@pytest.fixture(scope="module")
def _provider() -> Iterator[IdentityProvider]:
    with identity_provider() as running:
        yield running


@pytest.fixture
def provider(_provider: IdentityProvider) -> IdentityProvider:
    """The provider; its people are the same for each test."""
    _provider.change("ada", ADA)
    return _provider


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CoreWorld]:
    created = CoreWorld(tmp_path)
    yield created
    created.close()


class Team:
    """A server of a team, and the browsers of its people."""

    def __init__(self, world: CoreWorld, server: Live, provider: IdentityProvider) -> None:
        self.world, self.server, self.provider = world, server, provider
        self.url = f"http://127.0.0.1:{server.port}"
        object.__setattr__(server.core, "url", self.url)

    def sign_in(self, login: str, next_page: str = "/experiments") -> tuple[Person, requests.Response]:
        """Sign in as a person would; return their browser and the last response, redirects not followed."""
        person = Person(login)
        begun = person.get(f"{self.url}/sign-in/provider?next={next_page}", follow=False)
        assert begun.status_code == 303, begun.text
        back = person.at_provider(begun.headers["location"])
        return person, person.get(back, follow=False)

    def status(self, person: Person, path: str = "/api/v1/experiments") -> int:
        """Return the status of a request, after the server has looked at its rows again."""
        self.server.context.callers.clear()
        return person.get(self.url + path, follow=False).status_code

    def events(self, kind: str) -> list[dict[str, object]]:
        reply = self.server.ask("GET", "/api/v1/audit?limit=1000", token="secret-token")
        return [event for event in reply.json()["items"] if event["kind"] == kind]


@pytest.fixture
def team(world: CoreWorld, provider: IdentityProvider) -> Iterator[Team]:
    settings = OidcSettings(
        provider.issuer,
        CLIENT_ID,
        ClaimRules(ROLES),
        CLIENT_SECRET,
        name=urlsplit(provider.issuer).netloc,
        scopes="openid email groups",
    )
    core = replace(world.core, single_sign_on=OidcProvider(settings, world.core.key))
    with live(core) as server:
        yield Team(world, server, provider)
