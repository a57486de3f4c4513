"""What a provider may and may not say: ID tokens, keys, descriptions, failures."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from orchestune.domain.access.claims import ClaimRules
from orchestune.errors import Denied, ProviderUnavailable
from orchestune.oidc.id_tokens import MIN_FETCH_SECONDS
from orchestune.oidc.provider import DOCUMENT_SECONDS, PAUSE_SECONDS, OidcProvider
from orchestune.oidc.settings import OidcSettings
from orchestune.ports.single_sign_on import BrowserSecrets, VerifiedPerson
from tests.testbeds.serving import serving
from tests.unit.oidc.fake_provider import ISSUED_TO, FakeProvider

SECRETS = BrowserSecrets("s", "n", "v" * 43)
CALLBACK = "http://127.0.0.1:1/sign-in/callback"


@dataclass
class Clock:
    """A monotonic clock that only a test moves."""

    time: float = 1000.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Client:
    """This server as a client of a fake provider."""

    fake: FakeProvider
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        settings = OidcSettings(self.fake.url, ISSUED_TO, ClaimRules({"ml-team": "editor"}), "secret", name="the lab")
        self.provider = OidcProvider(settings, b"k" * 32, clock=self.clock)

    def person(self, id_token: str, **tokens: Any) -> VerifiedPerson:
        """Return the person of a token response with this ID token."""
        self.fake.tokens = (200, {"access_token": "a", "token_type": "Bearer", "id_token": id_token, **tokens})
        return self.provider.person_of_code("code", SECRETS, CALLBACK)


@pytest.fixture
def client() -> Iterator[Client]:
    with serving(FakeProvider()) as fake:
        yield Client(fake)


def test_a_valid_token_names_a_person(client: Client) -> None:
    person = client.person(client.fake.signed())
    assert (person.name, person.role, person.renewal) == ("ada@example.org", "editor", "")
    assert person.subject == client.person(client.fake.signed(email="ada@example.com")).subject


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": "another client"}, "aud"),
        ({"aud": ["another client"]}, "aud"),
        ({"aud": [ISSUED_TO, "another client"]}, "azp"),
        ({"azp": "another client"}, "azp"),
        ({"iss": "https://evil.example"}, "iss"),
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "exp"),
        ({"iat": int(time.time()) + 3600}, "issued in the future"),
        ({"nbf": int(time.time()) + 3600}, "not yet valid"),
        ({"nonce": "of another sign-in"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "subject"),
        ({"at_hash": "of another access token"}, "at_hash"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(client: Client, claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(Denied, match="invalid ID token") as refused:
        client.person(client.fake.signed(**claims))
    assert reason in refused.value.message


def with_hmac(secret: bytes, claims: str) -> str:
    """Return a token signed with HMAC: who verifies it with a public key as the secret accepts what anybody wrote."""
    text = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256","kid":"first"}', claims.encode())
    )
    signature = base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), "sha256")).decode().rstrip("=")
    return f"{text}.{signature}"


def test_a_token_that_the_provider_has_not_signed_is_refused(client: Client) -> None:
    genuine = client.fake.signed()
    claims = json.dumps({"iss": client.fake.url, "aud": ISSUED_TO, "exp": 2e9, "iat": 1, "nonce": "n", "sub": "1"})
    other = RSAKey.generate_key(2048, {"kid": "first"})
    public = client.fake.keys[0].as_pem(private=False)
    forged = {
        "no signature": client.fake.unsigned(claims.encode()),
        "another key with the same id": jwt.encode({"alg": "RS256", "kid": "first"}, json.loads(claims), other),
        "the public key as a secret": with_hmac(public, claims),
        "a changed signature": genuine[:-8] + "AAAAAAAA",
        "nothing": "",
        "no token": "x.y",
    }
    for name, token in forged.items():
        with pytest.raises(Denied, match="invalid ID token"):
            pytest.fail(f"{name}: {client.person(token)}")


def test_keys_are_fetched_again_for_an_unknown_one_once_a_minute(client: Client) -> None:
    client.person(client.fake.signed())
    client.fake.keys.append(RSAKey.generate_key(2048, {"kid": "second"}))
    client.fake.published = client.fake.keys[1:]  # rotated
    client.clock.time += MIN_FETCH_SECONDS
    client.person(client.fake.signed())
    assert client.fake.requests.count("/jwks") == 2
    client.fake.keys.append(RSAKey.generate_key(2048, {"kid": "made up"}))
    for _ in range(5):
        with pytest.raises(Denied, match="made up"):
            client.person(client.fake.signed())
    assert client.fake.requests.count("/jwks") == 2
    client.clock.time += MIN_FETCH_SECONDS
    for _ in range(5):
        with pytest.raises(Denied, match="made up"):
            client.person(client.fake.signed())
    assert client.fake.requests.count("/jwks") == 3


def test_claims_that_the_token_lacks_come_from_the_user_info_of_the_same_person(client: Client) -> None:
    client.fake.user_info = {"sub": "1", "groups": ["ml-team"], "email": "eve@example.org"}
    person = client.person(client.fake.signed(groups=None))
    assert (person.name, person.role) == ("ada@example.org", "editor"), "the signed claim counts"
    client.fake.user_info = {"sub": "2", "groups": ["ml-team"]}
    with pytest.raises(Denied, match="its subject differs"):
        client.person(client.fake.signed(groups=None))


def test_a_renewal_is_encrypted_and_answers_for_the_same_person_only(client: Client) -> None:
    person = client.person(client.fake.signed(), refresh_token="r3fresh")
    assert "r3fresh" not in person.renewal
    renewed = client.provider.renew(person.renewal, person.subject)
    assert (renewed.subject, renewed.name) == (person.subject, person.name) and renewed.renewal
    client.fake.tokens = (200, {"access_token": "a", "id_token": client.fake.signed(sub="2")})
    with pytest.raises(Denied, match="another person"):
        client.provider.renew(person.renewal, person.subject)
    client.fake.tokens = (400, {"error": "invalid_grant"})
    with pytest.raises(Denied, match="refused the sign-in: invalid_grant"):
        client.provider.renew(person.renewal, person.subject)
    with pytest.raises(Denied, match="key of this server"):
        OidcProvider(client.provider._settings, b"other key" * 4).renew(person.renewal, person.subject)


def test_a_renewal_without_an_id_token_asks_for_the_user_info(client: Client) -> None:
    person = client.person(client.fake.signed(), refresh_token="r3fresh")
    client.fake.tokens = (200, {"access_token": "a"})
    client.fake.user_info = {**client.fake.claims, "groups": []}
    with pytest.raises(Denied, match="no group of this account"):
        client.provider.renew(person.renewal, person.subject)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"issuer": "https://evil.example"}, "calls itself 'https://evil.example'"),
        ({"authorization_endpoint": "http://evil.example/auth"}, "no valid 'authorization_endpoint'"),
        ({"authorization_endpoint": None}, "no valid 'authorization_endpoint'"),
    ],
)
def test_a_description_that_is_not_the_providers_is_refused(
    client: Client, document: dict[str, Any], reason: str
) -> None:
    client.fake.document = document
    with pytest.raises(Denied, match=reason):
        client.provider.address(SECRETS, CALLBACK)


def test_a_provider_that_has_failed_is_left_alone_for_a_while(client: Client) -> None:
    client.fake.is_down = True
    for _ in range(5):
        with pytest.raises(ProviderUnavailable, match="the lab does not answer"):
            client.provider.address(SECRETS, CALLBACK)
    assert len(client.fake.requests) == 1
    client.fake.is_down = False
    client.clock.time += PAUSE_SECONDS
    assert client.provider.address(SECRETS, CALLBACK).startswith(f"{client.fake.url}/auth?")
    client.fake.is_down = True
    client.clock.time += DOCUMENT_SECONDS
    assert client.provider.address(SECRETS, CALLBACK), "an old description is better than none"


def test_a_device_code_is_encrypted_and_pending_until_a_person_approves_it(client: Client) -> None:
    code = {"device_code": "d3vice", "user_code": "AB-CD", "verification_uri": "https://id.example", "expires_in": 600}
    client.fake.tokens = (200, code)
    begun = client.provider.begin_device()
    assert (begun.user_code, begun.interval, begun.complete_address) == ("AB-CD", 5.0, "")
    assert "d3vice" not in begun.handle
    for error in ("authorization_pending", "slow_down"):
        client.fake.tokens = (400, {"error": error})
        assert client.provider.person_of_device(begun.handle) is None
    client.fake.tokens = (400, {"error": "access_denied", "error_description": "the person said no"})
    with pytest.raises(Denied, match="the person said no"):
        client.provider.person_of_device(begun.handle)
    requests_before = len(client.fake.requests)
    with pytest.raises(Denied, match="no longer valid"):
        client.provider.person_of_device("made up")
    assert len(client.fake.requests) == requests_before, "the server asks only for codes that it has issued"


def test_a_provider_without_device_codes_says_what_to_do_instead(client: Client) -> None:
    client.fake.document = {"device_authorization_endpoint": None}
    with pytest.raises(Denied, match="no sign-in for the command line") as refused:
        client.provider.begin_device()
    assert "ORCHESTUNE_TOKEN" in refused.value.hint
