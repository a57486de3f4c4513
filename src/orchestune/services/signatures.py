"""Self-verifying tokens and addresses: signed with the server's key, not stored."""

from __future__ import annotations

import base64
import hashlib
import hmac

from orchestune.services.core import Caller, Core


def _sign(core: Core, purpose: str, text: str) -> str:
    return hmac.digest(core.key, f"{purpose}/{text}".encode(), "sha256").hex()[:40]


def same(secret: str, genuine: str) -> bool:
    """Return True if both secrets are equal, compared in constant time; `secret` may be any text."""
    return hmac.compare_digest(secret.encode(), genuine.encode())


def secret(core: Core) -> str:
    """Return a random URL-safe secret with 264 bits of entropy."""
    return base64.urlsafe_b64encode(core.clock.entropy(33)).decode()


def repeatable_secret(core: Core, request: str) -> str:
    """Return the secret of the grant that a request creates: the same one if the request is retried."""
    return _sign(core, "grant", request)


def worker_token(core: Core, worker: str, experiment: str) -> str:
    """Return a worker's token: it authorizes the routes of this worker, and its experiment's bundles and blobs."""
    return f"w.{worker}.{experiment}.{_sign(core, 'worker', f'{worker}/{experiment}')}"


def signed_worker(core: Core, token: str) -> Caller | None:
    """Return the worker of a worker's token, which may have ended; None if the signature or format is invalid."""
    parts = token.split(".")
    if len(parts) != 4 or parts[0] != "w":
        return None
    _, worker, experiment, signature = parts
    if not same(signature, _sign(core, "worker", f"{worker}/{experiment}")):
        return None
    return Caller(name=worker, role="worker", experiment=experiment, worker=worker)


def proof(core: Core, worker: str, experiment: str, nonce: str, address: str) -> str:
    """Return a MAC over the worker's `nonce` and the `host:port` that it dialed, keyed by the worker's token.

    Only a server that knows the token can compute it. It reveals nothing of the token, and a worker that does not exist
    gets an indistinguishable one.
    """
    key = hashlib.sha256(worker_token(core, worker, experiment).encode()).digest()
    return hmac.digest(key, f"orchestune proof 1\n{nonce}\n{address}".encode(), "sha256").hex()


def report_signature(core: Core, attempt: str) -> str:
    """Return the signature in `$ORCHESTUNE_REPORT_URL`, its last path segment."""
    return _sign(core, "report", attempt)


def report_address(core: Core, attempt: str) -> str:
    """Return the `$ORCHESTUNE_REPORT_URL` of an attempt."""
    return f"{core.url}/api/v1/report/{attempt}/{report_signature(core, attempt)}"


def digest(secret: str) -> str:
    """Return the digest under which a secret is stored; unsalted, because secrets have enough entropy."""
    return hashlib.sha256(secret.encode()).hexdigest()


def sign_in_signature(core: Core, text: str) -> str:
    """Return the signature of the cookie that ties a sign-in by single sign-on to its browser."""
    return _sign(core, "single sign-on", text)


_ARCHIVE_KEY = b"orchestune archive records"  # derives a separate key: no other signature is valid for a record


def record_signature(core: Core, digest: str) -> str:
    """Return this server's signature of the record of an experiment with this digest."""
    return hmac.digest(hmac.digest(core.key, _ARCHIVE_KEY, "sha256"), digest.encode(), "sha256").hex()


def is_own_signature(core: Core, digest: str, signature: str) -> bool:
    """Return True if this server itself wrote the record with this digest."""
    return same(signature, record_signature(core, digest))
