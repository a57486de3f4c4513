"""The login at a registry of AWS: a password for twelve hours, asked for anew by each command and stored nowhere."""

from __future__ import annotations

import base64
import json
import re

from orchestune.errors import Denied

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


def is_ecr(registry: str) -> bool:
    """Whether it is a registry of AWS, by its name."""
    return _HOST.fullmatch(registry) is not None


def expired(secret: str, now: float) -> bool:
    """Whether such a password counts no more at `now`, in seconds since 1970: it says so itself, to who unpacks it."""
    try:
        return float(json.loads(base64.b64decode(secret))["expiration"]) <= now
    except (KeyError, TypeError, ValueError):
        return False


def password(registry: str, profile: str = "") -> tuple[str, str] | None:
    """Name and password for it; None where boto3 is not installed. Denied where AWS gives none.

    `profile`: of AWS's own settings, as which it is asked; empty: as the environment says.
    """
    found = _HOST.fullmatch(registry)
    if found is None:
        return None
    try:
        import boto3.session  # slow to import, and optional
        import botocore.exceptions
    except ModuleNotFoundError:
        return None
    try:
        client = boto3.session.Session(profile_name=profile or None).client("ecr", region_name=found["region"])
        given = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as exc:
        more = f" --profile {profile}" if profile else ""
        raise Denied(
            f"AWS gives no login for the registry {registry}: {exc}",
            f"set AWS_PROFILE or run `aws sso login{more}`; the right ecr:GetAuthorizationToken is needed",
        ) from exc
    name, _, secret = base64.b64decode(given).decode().partition(":")
    return name, secret
