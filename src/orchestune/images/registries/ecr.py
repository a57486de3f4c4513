"""Login at an ECR registry: a password for twelve hours, requested by each command and never stored."""

from __future__ import annotations

import base64
import json
import re

from orchestune.errors import Denied

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


def is_ecr(registry: str) -> bool:
    """Return True if the name is that of an ECR registry."""
    return _HOST.fullmatch(registry) is not None


def expired(secret: str, now: float) -> bool:
    """Return True if the password has expired at `now`, in seconds since 1970; it contains its own expiry."""
    try:
        return float(json.loads(base64.b64decode(secret))["expiration"]) <= now
    except (KeyError, TypeError, ValueError):
        return False


def password(registry: str, profile: str = "") -> tuple[str, str] | None:
    """Return user name and password; None if boto3 is not installed. Raises Denied if AWS refuses.

    `profile`: the AWS profile to use; empty: as the environment selects.
    """
    match = _HOST.fullmatch(registry)
    if match is None:
        return None
    try:
        import boto3.session  # optional, and slow to import
        import botocore.exceptions
    except ModuleNotFoundError:
        return None
    try:
        client = boto3.session.Session(profile_name=profile or None).client("ecr", region_name=match["region"])
        encoded = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as exc:
        option = f" --profile {profile}" if profile else ""
        raise Denied(
            f"cannot get a login for the registry {registry} from AWS: {exc}",
            f"set AWS_PROFILE or run `aws sso login{option}`; the account needs ecr:GetAuthorizationToken",
        ) from exc
    name, _, secret = base64.b64decode(encoded).decode().partition(":")
    return name, secret
