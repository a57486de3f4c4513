"""What a message of an experiment looks like on the wire, and its signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

_PREFIX = "whsec_"


def content(format: str, kind: str, at: str, data: Mapping[str, Any]) -> bytes:
    """The body: the document of Standard Webhooks, or what Slack takes."""
    document: dict[str, Any] = {"type": f"experiment.{kind}", "timestamp": at, "data": dict(data)}
    if format == "slack":
        document = {"text": f"{_escaped(data['text'])}\n<{data['url']}|{_escaped(data['experiment'])}>"}
    return json.dumps(document).encode()


def headers(identity: str, seconds: int, body: bytes, secret: str) -> dict[str, str]:
    """As Standard Webhooks has them (standardwebhooks.com): the same identity at each try, and a signature over
    identity, time and body, so that nobody can send an old message again much later.
    """
    found = {"Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": str(seconds)}
    if secret:
        signed = hmac.new(key(secret), f"{identity}.{seconds}.".encode() + body, hashlib.sha256).digest()
        found["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
    return found


def key(secret: str) -> bytes:
    """Behind `whsec_` stands base64, as that standard has it; any other text is its own bytes."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _escaped(text: str) -> str:
    """Slack reads <!channel> and the like in what anybody may have called an experiment."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
