"""Who a token of the cluster stands for: one of our ServiceAccounts, which its administrators hand out."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable

from orchestune.backends.kubernetes.client import Api, Document
from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.domain.cluster import SERVER_ROLES
from orchestune.errors import Denied
from orchestune.kubeapi.refusals import Forbidden, Unauthenticated
from orchestune.ports.identity import Person

_REVIEW = "/apis/authentication.k8s.io/v1"
_REFUSED_SECONDS = 60.0  # a refused token is not reviewed again; an accepted one is, for the server caches callers
_MOST = 1024
_LONGEST = 2 * 3600
"""seconds for which a token may be valid: the command line asks for an hour. The API server grants years, and a token
that a person has asked for outlives the role that is taken from the person"""

_LATEST = 2**53  # seconds since 1970 that a float holds


class ServiceAccounts:
    """An `Identity`. Asks by TokenReview, a right in the whole cluster; without it the token asks for itself."""

    def __init__(self, api: Api, config: KubernetesConfig, clock: Callable[[], float] = time.monotonic) -> None:
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
            if len(self._refused) >= _MOST:
                self._refused.clear()
            self._refused[mark] = now + _REFUSED_SECONDS
        return None

    def _user(self, token: str) -> str:
        """The user's name in the cluster; empty for a token that is not genuine."""
        if self._may_review:
            try:
                return self._reviewed(token)
            except Forbidden:
                self._may_review = False
        return self._said_of_itself(token)

    def _reviewed(self, token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        status = self._api.call("POST", f"{_REVIEW}/tokenreviews", body).get("status") or {}
        return str((status.get("user") or {}).get("username") or "") if status.get("authenticated") else ""

    def _said_of_itself(self, token: str) -> str:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = self._api.call("POST", f"{_REVIEW}/selfsubjectreviews", body, token=token)
        except (Unauthenticated, Denied):
            return ""
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username") or "")


def _claims(token: str) -> Document:
    """Return the claims of a JSON Web Token, unverified; empty if it is none. The cluster refuses a forged one."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _is_lasting(claims: Document) -> bool:
    """Return True for a token with a lifetime beyond what people get, unless it ends with its pod.

    Tokens without an end are those of Secrets, which only administrators can make, and delete.
    """
    try:
        if "pod" in (claims.get("kubernetes.io") or {}):
            return False
        return "exp" in claims and float(claims["exp"]) - float(claims["iat"]) > _LONGEST
    except (ValueError, TypeError, KeyError, OverflowError):
        return False


def _expires_at(claims: Document) -> float | None:
    try:
        end = float(claims["exp"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None
    return end if 0 <= end < _LATEST else None
