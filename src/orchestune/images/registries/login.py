"""Registry authentication: the registry's challenge names a token service, or asks for a password."""

from __future__ import annotations

import base64
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from requests.utils import parse_dict_header

from orchestune.errors import Denied, TemporaryError
from orchestune.images.registries.credentials import Credentials
from orchestune.images.registries.reference import HUB, is_loopback

CLIENT = "orchestune"


class Login:
    """Authorization headers of one registry by scope; in memory only."""

    def __init__(self, registry: str, find: Callable[[str], Credentials | None], *, plain: bool) -> None:
        self._registry, self._find, self._plain = registry, find, plain
        self._headers: dict[str, str] = {}
        self._credentials: Credentials | None = None
        self._is_looked_up = False

    def header(self, scope: str) -> str | None:
        """Return the header accepted for `scope` so far."""
        return self._headers.get(scope)

    def forget(self, scope: str) -> None:
        """Drop the header for `scope`: the token has expired."""
        self._headers.pop(scope, None)

    def answer(self, challenge: str, scope: str, session: requests.Session, timeout: float) -> bool:
        """Respond to a `WWW-Authenticate` challenge; return False if there are no matching credentials.

        Raises Denied, TemporaryError, or an error of requests.
        """
        kind, _, parameters = challenge.partition(" ")
        if kind.lower() == "basic":
            credentials = self._find_credentials()
            if credentials is None or not credentials.username:
                return False
            self._headers[scope] = _basic(credentials)
            return True
        if kind.lower() != "bearer":
            return False
        challenge_fields = parse_dict_header(parameters)  # type: ignore[no-untyped-call]
        token = self._token(challenge_fields, challenge_fields.get("scope") or scope, session, timeout)
        if token:
            self._headers[scope] = f"Bearer {token}"
        return bool(token)

    def _find_credentials(self) -> Credentials | None:
        if not self._is_looked_up:
            self._credentials, self._is_looked_up = self._find(self._registry), True
        return self._credentials

    def _token(
        self, challenge: dict[str, str | None], scope: str, session: requests.Session, timeout: float
    ) -> str | None:
        realm = challenge.get("realm") or ""
        parts = urlsplit(realm)
        plain_allowed = self._plain or is_loopback(parts.netloc)
        if parts.scheme != "https" and not (parts.scheme == "http" and plain_allowed):
            raise Denied(f"the registry {self._registry} names a token service without TLS: {realm!r}")
        credentials = self._find_credentials()
        fields = [("scope", part) for part in scope.split()]
        if challenge.get("service"):
            fields.append(("service", str(challenge["service"])))
        if credentials is not None and credentials.identity_token:
            fields += [
                ("grant_type", "refresh_token"),
                ("refresh_token", credentials.identity_token),
                ("client_id", CLIENT),
            ]
            response = session.post(realm, data=fields, timeout=timeout)
        else:
            headers = {"Authorization": _basic(credentials)} if credentials is not None else {}
            response = session.get(realm, params=fields, headers=headers, timeout=timeout)
        if response.status_code in (401, 403, 404):
            return None
        if not response.ok:
            text = f"the registry {self._registry} gives no token: {response.status_code} from {parts.netloc}"
            if response.status_code >= 500 or response.status_code == 429:
                raise TemporaryError(text, "wait a few seconds, then repeat the command")
            raise Denied(text, hint(self._registry))
        document = response.json()
        return str(document.get("token") or document.get("access_token") or "") or None


def hint(registry: str) -> str:
    """Return the hint for users whose request is rejected."""
    return f"log in: docker login {registry if registry != HUB else ''}".rstrip() + ", with an account that may do this"


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")
