"""Tokens and addresses that prove themselves: signed with the server's key, stored nowhere."""

from __future__ import annotations

import hashlib
import hmac

from orchestune.services.core import Core


def _sign(core: Core, purpose: str, text: str) -> str:
    return hmac.digest(core.key, f"{purpose}/{text}".encode(), "sha256").hex()[:40]


def same(given: str, genuine: str) -> bool:
    """Whether a secret is the right one, in a time that tells nothing of it; it may be any text."""
    return hmac.compare_digest(given.encode(), genuine.encode())


def repeatable_secret(core: Core, request: str) -> str:
    """Return the secret of a grant that a request asks for: the same one if the request is repeated."""
    return _sign(core, "grant", request)


def worker_token(core: Core, worker: str, experiment: str) -> str:
    """What a worker shows: it reaches the routes of this worker, and its experiment's bundles and blobs."""
    return f"w.{worker}.{experiment}.{_sign(core, 'worker', f'{worker}/{experiment}')}"


def read_worker_token(core: Core, token: str) -> tuple[str, str] | None:
    """The worker and the experiment of a genuine token."""
    parts = token.split(".")
    if len(parts) != 4 or parts[0] != "w":
        return None
    _, worker, experiment, signature = parts
    genuine = same(signature, _sign(core, "worker", f"{worker}/{experiment}"))
    return (worker, experiment) if genuine else None


def proof(core: Core, worker: str, experiment: str, nonce: str, address: str) -> str:
    """Return the MAC that only a server which knows the worker's token can compute, over the worker's `nonce` and the
    `host:port` that it dialled. It reveals nothing of the token, and looks the same for a worker that does not exist.
    """
    key = hashlib.sha256(worker_token(core, worker, experiment).encode()).digest()
    return hmac.digest(key, f"orchestune proof 1\n{nonce}\n{address}".encode(), "sha256").hex()


def report_signature(core: Core, attempt: str) -> str:
    """What stands in `$ORCHESTUNE_REPORT_URL` behind the attempt."""
    return _sign(core, "report", attempt)


def report_address(core: Core, attempt: str) -> str:
    """`$ORCHESTUNE_REPORT_URL` of an attempt."""
    return f"{core.url}/api/v1/report/{attempt}/{report_signature(core, attempt)}"


def digest(secret: str) -> str:
    """What is kept of a secret that has enough entropy of its own."""
    return hashlib.sha256(secret.encode()).hexdigest()


_ARCHIVE_KEY = b"orchestune archive records"  # derives a key of its own: no other signature passes for a record's


def record_signature(core: Core, digest: str) -> str:
    """Return this server's signature of the record of an experiment with this digest."""
    return hmac.digest(hmac.digest(core.key, _ARCHIVE_KEY, "sha256"), digest.encode(), "sha256").hex()


def signed_here(core: Core, digest: str, signature: str) -> bool:
    """Return True if this server itself wrote the record with this digest."""
    return same(signature, record_signature(core, digest))
