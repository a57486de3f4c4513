"""Encoding and signature of an experiment's webhook messages."""

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
    """Return the body: a Standard Webhooks document, or a Slack message."""
    document: dict[str, Any] = {"type": f"experiment.{kind}", "timestamp": at, "data": dict(data)}
    if format == "slack":
        document = {"text": f"{_escaped(data['text'])}\n<{data['url']}|{_escaped(data['experiment'])}>"}
    return json.dumps(document).encode()


def headers(identity: str, seconds: int, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers of Standard Webhooks (standardwebhooks.com).

    They are the same message id at each retry, and a signature of id, time and body, which prevents replays of old
    messages.
    """
    fields = {"Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": str(seconds)}
    if secret:
        signature = hmac.new(key(secret), f"{identity}.{seconds}.".encode() + body, hashlib.sha256).digest()
        fields["webhook-signature"] = f"v1,{base64.b64encode(signature).decode()}"
    return fields


def key(secret: str) -> bytes:
    """Return the signing key: base64 after `whsec_`, as the standard specifies; any other text is used as it is."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _escaped(text: str) -> str:
    """Escape text for Slack, which would interpret <!channel> in an experiment's name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
