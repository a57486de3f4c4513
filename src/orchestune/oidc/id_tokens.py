"""Validation of ID tokens: signature, issuer, audience, time, nonce."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from orchestune.errors import Denied

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""asymmetric ones only: with `none` or HMAC anybody, or any client of the provider, could write an ID token"""
LEEWAY_SECONDS = 60
"""tolerated difference between the clocks of the provider and this server"""
MIN_FETCH_SECONDS = 60.0
"""interval between two fetches of the provider's keys: everyone can send a token with an unknown key"""

KeyDocument = Mapping[str, Any]


class SigningKeys:
    """The provider's keys: fetched when needed, and again for a token whose key is unknown. Thread-safe."""

    def __init__(self, fetch: Callable[[], KeyDocument], clock: Callable[[], float] = time.monotonic) -> None:
        """`fetch` downloads the key set; it may raise ProviderUnavailable."""
        self._fetch, self._clock = fetch, clock
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")

    def of(self, key_id: str | None) -> KeySet:
        """Return the key set; fetch it again if it lacks the key, at most once per `MIN_FETCH_SECONDS`."""
        with self._lock:
            is_due = self._clock() - self._fetched_at >= MIN_FETCH_SECONDS
            if self._keys is None or (is_due and not self._has(key_id)):
                document = self._fetch()
                self._fetched_at = self._clock()
                self._keys = KeySet(list(_signing_keys(document)))
            return self._keys

    def _has(self, key_id: str | None) -> bool:
        return key_id is None or any(key.kid == key_id for key in self._keys or ())


def _signing_keys(document: KeyDocument) -> Iterator[Key]:
    """Yield the usable keys of a key set: a provider may list other ones, such as of a kind that we do not know."""
    keys = document.get("keys")
    for each in keys if isinstance(keys, list) else ():
        with suppress(JoseError, TypeError, ValueError, KeyError):
            if isinstance(each, dict) and each.get("use", "sig") == "sig" and each.get("kty") != "oct":
                yield JWKRegistry.import_key(each)


def validated(
    token: str, keys: SigningKeys, *, issuer: str, client_id: str, nonce: str | None, access_token: str, now: float
) -> Mapping[str, object]:
    """Return the claims of an ID token for this client. `nonce`: None if the token was not requested by a browser.

    Raises Denied, with the reason, if the token is not valid; ProviderUnavailable if its key cannot be fetched.
    """
    try:
        decoded = jwt.decode(token, lambda signed: keys.of(signed.headers().get("kid")), algorithms=ALGORITHMS)
        options = {"iss": {"value": issuer}, "aud": {"value": client_id}}
        params = {"client_id": client_id, "nonce": nonce, "access_token": access_token}
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(now=int(now), leeway=LEEWAY_SECONDS)
    except (JoseError, ValueError, TypeError, KeyError) as exc:
        raise invalid(str(exc)) from exc
    if not isinstance(claims["sub"], str) or not claims["sub"]:
        raise invalid("it names no subject")
    return dict(claims)


def invalid(reason: str) -> Denied:
    """Return the error for an invalid ID token."""
    return Denied(f"the identity provider sent an invalid ID token: {reason}", "sign in again, or ask the operator")
