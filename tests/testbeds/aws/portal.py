"""The portal of IAM Identity Center: gives a logged-in user temporary credentials of a role."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any

from tests.testbeds.aws import checks, wire
from tests.testbeds.aws.wire import Incoming
from tests.testbeds.aws.world import World

PATH = "/federation/credentials"
TOKEN = "x-amz-sso_bearer_token"
"""the header that carries it"""
_SECONDS = 3600


class Portal:
    """Its requests carry a token of the login and no signature."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._logins: dict[str, str] = {}

    def log_in(self, user: str) -> str:
        """The token that `aws sso login` keeps."""
        token = secrets.token_urlsafe(24)
        self._logins[token] = user
        return token

    def answer(self, request: Incoming) -> tuple[int, dict[str, Any]]:
        """Status and document for GetRoleCredentials."""
        user = self._logins.get(request.headers.get(TOKEN, ""))
        if user is None:
            return 401, {"__type": "UnauthorizedException", "message": "Session token not found or invalid"}
        role = f"AWSReservedSSO_{request.parameters['role_name']}"
        identity = self._world.identities.take_on(role, user, None)
        document = {
            "roleCredentials": {
                "accessKeyId": identity.access_key, "secretAccessKey": identity.secret, "sessionToken": identity.token,
                "expiration": int(1000 * (time.time() + _SECONDS)),
            }
        }  # fmt: skip
        model = wire.service_model("sso").operation_model("GetRoleCredentials")
        wrong = checks.problems(document, model.output_shape, request=False)
        assert not wrong, wrong
        return 200, document


def cached(start: str, region: str, token: str, seconds: float = _SECONDS) -> tuple[str, str]:
    """Name and content of the file in which SDKs find a login at the address `start`."""
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    document = {"startUrl": start, "region": region, "accessToken": token, "expiresAt": expires}
    return f"{hashlib.sha1(start.encode()).hexdigest()}.json", json.dumps(document)
