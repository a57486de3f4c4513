"""Authentication by cluster tokens of our ServiceAccounts, which the cluster's administrators grant."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import Denied
from orchestune.kubeapi.client import ApiServer, Document
from orchestune.kubeapi.errors import PermissionMissing, Unauthenticated
from orchestune.ports.identity import Person

_REVIEW = "/apis/authentication.k8s.io/v1"
_REJECTION_SECONDS = 60.0  # a rejected token is not reviewed again; accepted ones are, as the server caches callers
_MAX_CACHED_REJECTIONS = 1024
_MAX_TOKEN_LIFETIME_SECONDS = 2 * 3600
"""maximum: the command line requests an hour. The API server grants years, and such a
token stays valid after its user has lost the role"""

_MAX_UNIX_TIME = 2**53  # largest Unix time that a float holds exactly


class ServiceAccounts:
    """An `IdentityProvider` by TokenReview, a cluster-wide right, or by a SelfSubjectReview with the token."""

    def __init__(self, api: ApiServer, config: KubernetesConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._accounts = {f"system:serviceaccount:{config.namespace}:orchestune-{role}": role for role in SERVER_ROLES}
        self._lock = threading.Lock()
        self._refused: dict[bytes, float] = {}
        self._may_review = True

    def who(self, token: str) -> Person | None:
        if not token:
            return None
        mark, now = hashlib.sha256(token.encode()).digest(), self._clock()
        with self._lock:
            if now < self._refused.get(mark, now):
                return None
        claims = _claims(token)
        name = "" if _is_lasting(claims) else self._user(token)
        if name in self._accounts:
            return Person(name.rpartition(":")[2], self._accounts[name], _expires_at(claims))
        with self._lock:
            if len(self._refused) >= _MAX_CACHED_REJECTIONS:
                self._refused.clear()
            self._refused[mark] = now + _REJECTION_SECONDS
        return None

    def _user(self, token: str) -> str:
        """Return the user name in the cluster; empty if the token is not genuine."""
        if self._may_review:
            try:
                return self._by_token_review(token)
            except PermissionMissing:
                self._may_review = False
        return self._by_self_review(token)

    def _by_token_review(self, token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = self._api.call("POST", f"{_REVIEW}/tokenreviews", body).get("status") or {}
        return str((status.get("user") or {}).get("username") or "") if status.get("authenticated") else ""

    def _by_self_review(self, token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._api.call("POST", f"{_REVIEW}/selfsubjectreviews", body, token=token)
        except (Unauthenticated, Denied):
            return ""
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")


def _claims(token: str) -> Document:
    """Return the unverified claims of a JSON Web Token; empty if it is none. The cluster rejects forged ones."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _is_lasting(claims: Document) -> bool:
    """Return True if the token lives longer than users' tokens may, unless it expires with its pod.

    Tokens without expiry come from Secrets, which only administrators can create and delete.
    """
    try:
        if "pod" in (claims.get("kubernetes.io") or {}):
            return False
        return "exp" in claims and float(claims["exp"]) - float(claims["iat"]) > _MAX_TOKEN_LIFETIME_SECONDS
    except (ValueError, TypeError, KeyError, OverflowError):
        return False


def _expires_at(claims: Document) -> float | None:
    try:
        end = float(claims["exp"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return end if 0 <= end < _MAX_UNIX_TIME else None
