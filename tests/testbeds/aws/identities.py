"""Callers: access keys, the identities behind them, and signed addresses."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from tests.testbeds.aws.refusals import Refused

ACCOUNT = "111122223333"


@dataclass
class Identity:
    """One access key."""

    access_key: str
    secret: str
    arn: str
    user_id: str
    token: str = ""
    policy: dict[str, Any] | None = None
    """what it may do; None: everything"""
    expired: bool = False
    role: str = ""
    """the ARN of the role whose rights it has, as they change; empty: it has what `policy` says"""
    late: int = 0
    """how many calls more are judged by what the role could before"""

    @property
    def principal(self) -> str:
        """The user or role behind it, as access entries name it."""
        if ":assumed-role/" not in self.arn:
            return self.arn
        role = self.arn.split("/")[1]
        return f"arn:aws:iam::{ACCOUNT}:role/{role}"


@dataclass
class Identities:
    """Everybody who has an access key."""

    known: dict[str, Identity] = field(default_factory=dict)

    def add(self, user: str, policy: dict[str, Any] | None = None) -> Identity:
        """A user with an access key of its own."""
        number = len(self.known) + 1
        identity = Identity(
            f"AKIAIOSFODNN7EXAM{number:03}", f"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE{number:03}",
            f"arn:aws:iam::{ACCOUNT}:user/{user}", f"AIDAIOSFODNN7EXAM{number:03}", policy=policy,
        )  # fmt: skip
        self.known[identity.access_key] = identity
        return identity

    def assume(self, by: Identity, role: str, name: str) -> Identity:
        """Short-lived credentials of a role, with the rights of who takes it on."""
        return self.take_on(role, name, by.policy)

    def take_on(self, role: str, name: str, policy: dict[str, Any] | None) -> Identity:
        """Short-lived credentials of a role."""
        number = len(self.known) + 1
        identity = Identity(
            f"ASIAIOSFODNN7EXAM{number:03}", f"zzalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE{number:03}",
            f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}", f"AROAIOSFODNN7EXAM{number:03}:{name}",
            token=f"token-{number}", policy=policy,
        )  # fmt: skip
        self.known[identity.access_key] = identity
        return identity

    def of(self, access_key: str, token: str, service: str) -> Identity:
        """Return the owner of a key. Refused for unknown and expired keys."""
        identity = self.known.get(access_key)
        plain = service in ("ec2", "iam", "sts", "autoscaling", "elb", "elbv2", "s3")
        if identity is None:
            raise _unknown(service, access_key)
        if identity.expired:
            code = "ExpiredTokenException" if not plain else {"ec2": "RequestExpired"}.get(service, "ExpiredToken")
            text = "Request has expired." if service == "ec2" else _EXPIRED
            raise Refused(code, text, 403 if service != "ec2" and plain else 400)
        if identity.token != token:
            raise _unknown(service, access_key)
        return identity

    def of_url(self, url: str, headers: dict[str, str], now: datetime) -> Identity:
        """Return the signer of `url` (a GET of the token service) with these headers. Refuses a wrong signature."""
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        signature = query.pop("X-Amz-Signature", "")
        access_key, date, region, service, _ = query["X-Amz-Credential"].split("/")
        identity = self.of(access_key, query.get("X-Amz-Security-Token", ""), "sts")
        signed_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if not now - timedelta(seconds=int(query["X-Amz-Expires"])) <= signed_at <= now + timedelta(minutes=5):
            raise Refused("SignatureDoesNotMatch", "Signature expired", 403)
        names = query["X-Amz-SignedHeaders"].split(";")
        lower_headers = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
        canonical = "\n".join(
            [
                "GET", parts.path or "/",
                "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query)),
                *(f"{name}:{lower_headers.get(name, '')}" for name in names), "", ";".join(names),
                hashlib.sha256(b"").hexdigest(),
            ]
        )  # fmt: skip
        scope = f"{date}/{region}/{service}/aws4_request"
        text = "\n".join(
            ["AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
        )
        key = f"AWS4{identity.secret}".encode()
        for part in (date, region, service, "aws4_request", text):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(key.hex(), signature):
            raise Refused("SignatureDoesNotMatch", "The request signature we calculated does not match", 403)
        return identity


_EXPIRED = "The security token included in the request is expired"


def _unknown(service: str, access_key: str) -> Refused:
    if service == "ec2":
        return Refused("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if service == "s3":
        text = "The AWS Access Key Id you provided does not exist in our records."
        return Refused("InvalidAccessKeyId", text, 403)
    code = "InvalidClientTokenId" if service in ("iam", "sts", "autoscaling") else "UnrecognizedClientException"
    return Refused(code, "The security token included in the request is invalid.", 403)
