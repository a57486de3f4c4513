"""A provider whose answers a test chooses, behind real HTTP on loopback."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.testbeds.serving import Handler, Listening

ISSUED_TO = "orchestune"
CLAIMS = {"sub": "1", "email": "ada@example.org", "email_verified": True, "groups": ["ml-team"]}


class FakeProvider(Listening):
    """Serves discovery, keys, tokens, device codes and user info."""

    def __init__(self) -> None:
        super().__init__(_Routes)
        self.keys = [RSAKey.generate_key(2048, {"kid": "first"})]
        self.published = list(self.keys)
        self.document: dict[str, Any] = {}
        """changes of the description"""
        self.claims: dict[str, Any] = dict(CLAIMS)
        self.tokens: tuple[int, Mapping[str, Any]] = (200, {})
        self.user_info: Mapping[str, Any] = {}
        self.requests: list[str] = []
        self.is_down = False

    def signed(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return an ID token."""
        now = int(time.time())
        content = {
            "iss": self.url,
            "aud": ISSUED_TO,
            "iat": now,
            "exp": now + 300,
            "nonce": "n",
            **self.claims,
            **claims,
        }
        content = {name: claim for name, claim in content.items() if claim is not None}
        key = self.keys[-1]
        return jwt.encode({"alg": "RS256", "kid": key.kid, **(header or {})}, content, key)

    def unsigned(self, claims: bytes) -> str:
        """Return a token with the algorithm `none`."""
        parts = (base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"none"}', claims))
        return ".".join((*parts, ""))

    def answers(self, path: str) -> tuple[int, Mapping[str, Any]]:
        """Return status and document of a request."""
        self.requests.append(path)
        if self.is_down:
            return 502, {}
        if path == "/.well-known/openid-configuration":
            names = {
                "authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "jwks",
                "device_authorization_endpoint": "device", "userinfo_endpoint": "me",
            }  # fmt: skip
            own = {name: f"{self.url}/{route}" for name, route in names.items()}
            document = {"issuer": self.url, **own, **self.document}
            return 200, {name: text for name, text in document.items() if text is not None}
        if path == "/jwks":
            return 200, dict(KeySet(list(self.published)).as_dict(private=False))
        return (200, self.user_info) if path == "/me" else self.tokens


class _Routes(Handler):
    server: FakeProvider

    def do_GET(self) -> None:
        self.send_json(*self.server.answers(self.path))

    def do_POST(self) -> None:
        self.body()
        self.send_json(*self.server.answers(self.path))
