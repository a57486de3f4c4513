"""Authentication: the user entry of a kubeconfig, or the service account of the current pod."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from orchestune.errors import Denied
from orchestune.kubeapi.eks import Presigned
from orchestune.kubeapi.tls import Pair, content

_EARLY = timedelta(seconds=30)
"""a token is renewed this long before it expires"""


class Account(Protocol):
    """Credentials for an API server."""

    def headers(self) -> Mapping[str, str]:
        """Return current authentication headers. Raises Denied if they are unavailable."""

    def certificate(self) -> Pair | None:
        """Return the client certificate, which may replace or complement the headers."""


def login(user: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any], kubeconfig: str, context: str) -> Account:
    """Return a kubeconfig user's account. `kubeconfig` and `context` are for messages and the official client."""
    if user.get("auth-provider"):
        return _Provided(kubeconfig, context)
    if user.get("eks"):
        return Presigned(user["eks"])
    pair = _pair(user, folder)
    if user.get("token"):
        return Fixed({"Authorization": f"Bearer {user['token']}"}, pair)
    if user.get("tokenFile"):
        return TokenFile(folder / os.path.expanduser(user["tokenFile"]), pair)
    if user.get("exec"):
        return _Program(user["exec"], folder, cluster, kubeconfig, pair)
    if user.get("username"):
        text = f"{user['username']}:{user.get('password', '')}"
        return Fixed({"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}, pair)
    return Fixed({}, pair)


def _pair(user: Mapping[str, Any], folder: Path) -> Pair | None:
    certificate, key = content(user, "client-certificate", folder), content(user, "client-key", folder)
    return (certificate, key) if certificate and key else None


class Fixed:
    """Constant credentials."""

    def __init__(self, headers: Mapping[str, str], pair: Pair | None = None) -> None:
        self._headers, self._pair = headers, pair

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def certificate(self) -> Pair | None:
        return self._pair


class TokenFile:
    """A token in a file that another program renews."""

    def __init__(self, path: Path, pair: Pair | None = None) -> None:
        self._path, self._pair = path, pair

    def headers(self) -> Mapping[str, str]:
        try:
            return {"Authorization": f"Bearer {self._path.read_text().strip()}"}
        except OSError as exc:
            raise Denied(f"the token of the cluster in {self._path} cannot be read: {exc.strerror}") from exc

    def certificate(self) -> Pair | None:
        return self._pair


class _Program:
    """A login program of a cloud provider: `exec` in a kubeconfig. Run again after its credentials have expired."""

    def __init__(
        self, told: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any], kubeconfig: str, pair: Pair | None
    ) -> None:
        command = str(told["command"])
        self._command = [str(folder / command) if "/" in command else command, *map(str, told.get("args") or ())]
        self._variables = {str(item["name"]): str(item["value"]) for item in told.get("env") or ()}
        self._version, self._kubeconfig, self._pair = str(told["apiVersion"]), kubeconfig, pair
        asks = told.get("interactiveMode") != "Never" and sys.stdin.isatty()
        self._spec: dict[str, Any] = {"interactive": asks}
        if told.get("provideClusterInfo"):
            self._spec["cluster"] = _cluster_info(cluster)
        self._hint = str(told.get("installHint") or "").strip()
        self._given: Mapping[str, Any] = {}
        self._expires: datetime | None = None
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        token = self._status().get("token")
        return {"Authorization": f"Bearer {token}"} if token else {}

    def certificate(self) -> Pair | None:
        status = self._status()
        if status.get("clientCertificateData"):
            return str(status["clientCertificateData"]).encode(), str(status.get("clientKeyData") or "").encode()
        return self._pair

    def _status(self) -> Mapping[str, Any]:
        with self._lock:  # one login for all waiting threads: it may open a page in a browser
            if not self._given or (self._expires is not None and datetime.now(UTC) >= self._expires - _EARLY):
                self._given, self._expires = self._run()
            return self._given

    def _run(self) -> tuple[Mapping[str, Any], datetime | None]:
        """Run the program, and return its credentials with their expiry."""
        asked = {"apiVersion": self._version, "kind": "ExecCredential", "spec": self._spec}
        env = {**os.environ, **self._variables, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
        told = None if self._spec["interactive"] else subprocess.PIPE  # interactive prompts appear on the terminal
        stdin = None if self._spec["interactive"] else subprocess.DEVNULL
        try:
            done = subprocess.run(self._command, stdin=stdin, stdout=subprocess.PIPE, stderr=told, env=env, text=True)
        except OSError as exc:
            raise self._failed(f"{exc.strerror}: {self._command[0]}", self._hint) from exc
        if done.returncode != 0:
            said = (done.stderr or "").strip()
            raise self._failed(f"{self._command[0]} ended with exit code {done.returncode}" + (said and f": {said}"))
        try:
            document = json.loads(done.stdout)
            status: dict[str, Any] = dict(document["status"])
        except (KeyError, TypeError, ValueError) as exc:
            raise self._failed(f"{self._command[0]} gave no ExecCredential: {done.stdout[:200]!r}") from exc
        if not (status.get("token") or status.get("clientCertificateData")):
            raise self._failed(f"{self._command[0]} gave neither a token nor a certificate")
        until = status.get("expirationTimestamp")
        try:
            return status, _moment(until) if until else None
        except ValueError as exc:
            raise self._failed(f"{self._command[0]} gave a time of expiry that cannot be read: {until!r}") from exc

    def _failed(self, why: str, hint: str = "") -> Denied:
        usual = "log in to the cluster again; `kubectl get pods` has to work there"
        return Denied(f"the login program of the kubeconfig {self._kubeconfig} fails: {why}", hint or usual)


def _moment(text: object) -> datetime:
    """Parse a time with its zone. Raises ValueError."""
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return found


def _cluster_info(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cluster data that a login program may request."""
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    found = {name: cluster[name] for name in names if cluster.get(name)}
    extensions: Sequence[Mapping[str, Any]] = cluster.get("extensions") or ()
    for item in extensions:
        if item["name"] == "client.authentication.k8s.io/exec":
            found["config"] = item["extension"]
    return found


class _Provided:
    """A token that an identity provider renews, by means of the official client."""

    def __init__(self, kubeconfig: str, context: str) -> None:
        import kubernetes  # takes half a second, so only for such a login
        from kubernetes.config.config_exception import ConfigException

        self._configuration = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_kube_config(kubeconfig, context, self._configuration)  # type: ignore[no-untyped-call]
        except ConfigException as exc:
            raise ValueError(str(exc)) from exc

    def headers(self) -> Mapping[str, str]:
        settings: Mapping[str, Any] = self._configuration.auth_settings()
        return {auth["key"]: auth["value"] for auth in settings.values() if auth["in"] == "header" and auth["value"]}

    def certificate(self) -> Pair | None:
        return None
