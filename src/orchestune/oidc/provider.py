"""An OpenID Connect provider: discovery, sign-in by browser and by device code, renewal."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlsplit

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from orchestune.domain.access.claims import NotAdmitted
from orchestune.errors import Denied, ProviderUnavailable
from orchestune.oidc.id_tokens import SigningKeys, invalid, validated
from orchestune.oidc.settings import OidcSettings, is_safe_address
from orchestune.ports.single_sign_on import BrowserSecrets, DeviceSignIn, VerifiedPerson

logger = logging.getLogger("orchestune.oidc")

TIMEOUTS = (3.05, 6.0)
"""seconds to connect, and between two parts of a response; sign-ins have few threads, which a slow provider occupies"""
DOCUMENT_SECONDS = 3600.0
"""age at which the provider's description of itself is fetched again"""
PAUSE_SECONDS = 15.0
"""after a failure the provider is not called for so long: requests of open sessions must not queue for its timeouts"""
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_PENDING = ("authorization_pending", "slow_down")
_BY_THE_PERSON = ("access_denied", "expired_token", "invalid_grant")
_BAD_ANSWER = "ask the operator to check the oidc_ settings of the server"
_SIGN_IN_AGAIN = "sign in again"
T = TypeVar("T")


class OidcProvider:
    """Implements `SingleSignOn`. Thread-safe."""

    def __init__(
        self,
        settings: OidcSettings,
        key: bytes,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`key`: the server's secret key, from which the key that encrypts refresh tokens is derived."""
        self._settings, self._clock, self._now = settings, clock, now
        self._sealing = OctKey.import_key(hmac.digest(key, b"orchestune single sign-on", "sha256"))
        self._keys = SigningKeys(lambda: self._get(self._endpoint("jwks_uri")), clock)
        self._lock = threading.Lock()
        self._document: Mapping[str, Any] = {}
        self._document_at = float("-inf")
        self._failed_at = float("-inf")

    @property
    def name(self) -> str:
        return self._settings.name

    def address(self, secrets: BrowserSecrets, callback: str) -> str:
        endpoint = self._endpoint("authorization_endpoint")
        with closing(self._session(callback)) as session:
            address, _ = session.create_authorization_url(
                endpoint, state=secrets.state, nonce=secrets.nonce, code_verifier=secrets.verifier
            )
        return str(address)

    def person_of_code(self, code: str, secrets: BrowserSecrets, callback: str) -> VerifiedPerson:
        grant = {"grant_type": "authorization_code", "code": code, "code_verifier": secrets.verifier}
        return self._person(self._tokens(callback, **grant), nonce=secrets.nonce)

    def begin_device(self) -> DeviceSignIn:
        if "device_authorization_endpoint" not in self._description():
            hint = "create a token in Settings of the pages, and set ORCHESTUNE_TOKEN to it"
            raise Denied(f"{self.name} offers no sign-in for the command line", hint)
        endpoint = self._endpoint("device_authorization_endpoint")
        form = {"client_id": self._settings.client_id, "scope": self._settings.scopes}
        with closing(self._session()) as session:
            auth = session.client_auth(session.token_endpoint_auth_method)
            answer = self._call(lambda: _checked(session.post(endpoint, form, auth=auth, allow_redirects=False)))
        try:
            seconds = float(answer["expires_in"])
            sealed = self._seal({"device_code": answer["device_code"], "until": self._now() + seconds})
            return DeviceSignIn(
                sealed,
                user_code=str(answer["user_code"]),
                address=str(answer["verification_uri"]),
                complete_address=str(answer.get("verification_uri_complete") or ""),
                seconds=seconds,
                interval=max(float(answer.get("interval") or 5), 1.0),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise Denied(f"{self.name} sent an invalid device code: {exc}", _BAD_ANSWER) from exc

    def person_of_device(self, handle: str) -> VerifiedPerson | None:
        begun = self._unseal(handle)
        if begun is None or self._now() > float(begun["until"]):
            raise Denied("this sign-in is no longer valid", "begin a new one: `orchestune login`")
        try:
            return self._person(self._tokens("", grant_type=_DEVICE_GRANT, device_code=begun["device_code"]))
        except _Pending:
            return None

    def renew(self, renewal: str, subject: str) -> VerifiedPerson:
        sealed = self._unseal(renewal)
        if sealed is None:
            raise Denied("the key of this server has changed", _SIGN_IN_AGAIN)
        refresh_token = str(sealed["refresh_token"])
        tokens = self._tokens("", grant_type="refresh_token", refresh_token=refresh_token)
        person = self._person({"refresh_token": refresh_token, **tokens}, known=str(sealed["sub"]))
        if person.subject != subject:
            raise Denied(f"{self.name} answered with another person", _SIGN_IN_AGAIN)
        return person

    def revoke(self, renewal: str) -> None:
        sealed, document = self._unseal(renewal), self._description()
        if sealed is None or "revocation_endpoint" not in document:
            return
        endpoint = self._endpoint("revocation_endpoint")
        with closing(self._session()) as session:
            self._call(lambda: session.revoke_token(endpoint, sealed["refresh_token"], "refresh_token"))

    def _person(self, tokens: Mapping[str, Any], *, nonce: str | None = None, known: str = "") -> VerifiedPerson:
        """Return the person of a token response. `known`: their id, of a renewal, which may have no ID token."""
        access_token = str(tokens.get("access_token") or "")
        claims: dict[str, object] = {"sub": known}
        if tokens.get("id_token") or not known:
            claims = dict(self._claims(str(tokens.get("id_token") or ""), nonce, access_token))
        if not self._settings.rules.are_complete(claims) and "userinfo_endpoint" in self._description():
            claims = {**self._user_info(access_token, str(claims["sub"])), **claims}
        try:
            name, role = self._settings.rules.name_of(claims), self._settings.rules.role_of(claims)
        except NotAdmitted as exc:
            raise Denied(str(exc), "ask the operator of this server for access") from exc
        sub, renewal = str(claims["sub"]), ""
        if refresh_token := tokens.get("refresh_token"):
            renewal = self._seal({"refresh_token": refresh_token, "sub": sub})
        subject = hashlib.sha256(f"{self._settings.issuer}\n{sub}".encode()).hexdigest()
        return VerifiedPerson(subject, name, role, renewal)

    def _claims(self, id_token: str, nonce: str | None, access_token: str) -> Mapping[str, object]:
        issuer, client_id = self._settings.issuer, self._settings.client_id
        return validated(
            id_token, self._keys, issuer=issuer, client_id=client_id, nonce=nonce, access_token=access_token,
            now=self._now(),
        )  # fmt: skip

    def _user_info(self, access_token: str, sub: str) -> Mapping[str, object]:
        """Return further claims of the person: providers may leave them out of the ID token."""
        answer = self._get(self._endpoint("userinfo_endpoint"), {"Authorization": f"Bearer {access_token}"})
        if answer.get("sub") != sub:
            raise invalid("its subject differs from that of the user info")
        return answer

    def _tokens(self, callback: str, **grant: str) -> Mapping[str, Any]:
        """Request tokens. Raises _Pending for a device code that is not approved yet."""
        endpoint = self._endpoint("token_endpoint")
        with closing(self._session(callback)) as session:
            try:
                tokens: Mapping[str, Any] = self._call(
                    # without a scope: that of the sign-in, of which the provider may have granted less
                    lambda: session.fetch_token(endpoint, **grant, scope="", allow_redirects=False)
                )
            except OAuthError as exc:
                if exc.error in _PENDING:
                    raise _Pending from exc
                if exc.error in ("temporarily_unavailable", "server_error"):
                    raise self._unavailable(str(exc)) from exc
                hint = _SIGN_IN_AGAIN if exc.error in _BY_THE_PERSON else _BAD_ANSWER
                raise Denied(f"{self.name} refused the sign-in: {exc.description or exc.error}", hint) from exc
            except ValueError as exc:  # no JSON object
                raise Denied(f"{self.name} sent no tokens: {exc}", _BAD_ANSWER) from exc
        return tokens

    def _session(self, callback: str = "") -> OAuth2Session:
        settings, methods = self._settings, self._description().get("token_endpoint_auth_methods_supported")
        method = "none" if not settings.client_secret else "client_secret_basic"  # the default of the standard
        if settings.client_secret and isinstance(methods, list) and method not in methods:
            method = "client_secret_post"
        session = OAuth2Session(
            settings.client_id,
            settings.client_secret or None,
            token_endpoint_auth_method=method,
            revocation_endpoint_auth_method=method,
            scope=settings.scopes,
            redirect_uri=callback or None,
            code_challenge_method="S256",
            default_timeout=TIMEOUTS,
        )
        session.register_client_auth_method(("client_secret_basic", _authenticate))
        return session

    def _endpoint(self, name: str) -> str:
        """Return an address of the provider. Raises Denied if it has none, or tokens would travel unencrypted."""
        address = self._description().get(name)
        if not isinstance(address, str) or not is_safe_address(address):
            raise Denied(f"{self._settings.issuer} has no valid '{name}'", _BAD_ANSWER)
        return address

    def _description(self) -> Mapping[str, Any]:
        """Return the provider's description of itself, fetched once an hour; an older one if it does not answer."""
        with self._lock:
            if self._clock() - self._document_at < DOCUMENT_SECONDS:
                return self._document
            issuer = self._settings.issuer
            try:
                document = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            except ProviderUnavailable:
                if self._document:
                    return self._document
                raise
            if document.get("issuer") != issuer:
                text = f"the provider at {issuer} calls itself {document.get('issuer')!r}"
                raise Denied(text, "ask the operator to set oidc_issuer to exactly that")
            self._document, self._document_at = document, self._clock()
            return document

    def _get(self, address: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
        return self._call(
            lambda: _checked(requests.get(address, headers=headers, timeout=TIMEOUTS, allow_redirects=False))
        )

    def _call(self, call: Callable[[], T]) -> T:
        """Call the provider, unless it has just failed. Raises ProviderUnavailable if it does not answer."""
        if self._clock() - self._failed_at < PAUSE_SECONDS:
            raise ProviderUnavailable(*self._down())
        try:
            return call()
        except requests.RequestException as exc:
            raise self._unavailable(str(exc)) from exc

    def _unavailable(self, reason: str) -> ProviderUnavailable:
        logger.warning("the identity provider %s does not answer: %s", self._settings.issuer, reason)
        self._failed_at = self._clock()
        return ProviderUnavailable(*self._down())

    def _down(self) -> tuple[str, str]:
        return f"{self.name} does not answer", "retry in a minute, or sign in with a token"

    def _seal(self, content: Mapping[str, object]) -> str:
        text = json.dumps(content)
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._sealing)

    def _unseal(self, sealed: str) -> dict[str, Any] | None:
        """Return what `_seal` encrypted; None if it was encrypted with another key, or changed."""
        try:
            plain = jwe.decrypt_compact(sealed, self._sealing, algorithms=["dir", "A256GCM"]).plaintext
            content: dict[str, Any] = json.loads(plain or b"")
        except (JoseError, ValueError):
            return None
        return content


def _authenticate(client: Any, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[Any, ...]:
    """Add the client's credentials, form-encoded as RFC 6749 (2.3.1) demands; Authlib sends them as they are."""
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return uri, headers, body


class _Pending(Exception):
    """The person has not approved the sign-in yet."""


def _checked(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response. Raises RequestException if the provider fails, Denied if it refuses."""
    if response.status_code >= 500 or response.status_code == 429:
        response.raise_for_status()
    try:
        document = response.json()
    except ValueError:
        document = None
    if response.status_code != 200 or not isinstance(document, dict):
        reason = (document.get("error_description") or document.get("error")) if isinstance(document, dict) else None
        address = urlsplit(response.url)._replace(query="").geturl()
        raise Denied(f"{address} answered {response.status_code}: {reason or 'no JSON object'}", _BAD_ANSWER)
    return document
