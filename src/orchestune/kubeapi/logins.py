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

from orchestune.errors import Denied, UsageError
from orchestune.kubeapi.eks import Presigned
from orchestune.kubeapi.tls import Pair, content

_RENEWAL_MARGIN = timedelta(seconds=30)
"""a token is renewed this long before it expires"""
_EXEC_PLUGINS = {
    "azure": "use the exec plugin kubelogin: `kubelogin convert-kubeconfig`",
    "gcp": "use the exec plugin gke-gcloud-auth-plugin: `gcloud container clusters get-credentials CLUSTER`",
    "oidc": "use the exec plugin `kubectl oidc-login`: `kubectl oidc-login setup` says how",
}
"""removed auth provider → hint"""


class Account(Protocol):
    """Credentials for an API server."""

    def headers(self) -> Mapping[str, str]:
        """Return current authentication headers. Raises Denied if they are unavailable."""

    def certificate(self) -> Pair | None:
        """Return the client certificate, which may replace or complement the headers."""


def login(user: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any], kubeconfig: str) -> Account:
    """Return a kubeconfig user's account. `kubeconfig` is the path for messages.

    Raises UsageError for an auth provider: Kubernetes removed them in version 1.26 in favour of exec plugins.
    """
    if user.get("auth-provider"):
        raise _removed_provider(user["auth-provider"], kubeconfig)
    if user.get("eks"):
        return Presigned(user["eks"])
    pair = _pair(user, folder)
    if user.get("token"):
        return Fixed(_bearer(user["token"]), pair)
    if user.get("tokenFile"):
        return TokenFile(folder / os.path.expanduser(user["tokenFile"]), pair)
    if user.get("exec"):
        return _ExecPlugin(user["exec"], folder, cluster, kubeconfig, pair)
    if user.get("username"):
        text = f"{user['username']}:{user.get('password', '')}"
        return Fixed({"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}, pair)
    return Fixed({}, pair)


def _bearer(token: object) -> dict[str, str]:
    """Return the header with a token. Raises ValueError, without the token, if no header can hold it."""
    text = str(token).strip()
    if not text.isprintable():
        raise ValueError("it contains line breaks or other control characters")
    return {"Authorization": f"Bearer {text}"}


def _pair(user: Mapping[str, Any], folder: Path) -> Pair | None:
    certificate, key = content(user, "client-certificate", folder), content(user, "client-key", folder)
    return (certificate, key) if certificate and key else None


def _removed_provider(provider: Mapping[str, Any], kubeconfig: str) -> UsageError:
    name = str(provider.get("name") or "")
    usual = "replace `auth-provider` in it by `exec`, with the login program of the identity provider"
    return UsageError(
        f"the kubeconfig {kubeconfig} logs in with the auth provider '{name}', which Kubernetes 1.26 has removed",
        _EXEC_PLUGINS.get(name, usual),
    )


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
            return _bearer(self._path.read_text())
        except ValueError as exc:
            raise Denied(f"the token of the cluster in {self._path} is invalid: {exc}") from exc
        except OSError as exc:
            raise Denied(f"the token of the cluster in {self._path} cannot be read: {exc.strerror}") from exc

    def certificate(self) -> Pair | None:
        return self._pair


class _ExecPlugin:
    """A login program of a cloud provider: `exec` in a kubeconfig. Run again after its credentials have expired."""

    def __init__(
        self, settings: Mapping[str, Any], folder: Path, cluster: Mapping[str, Any], kubeconfig: str, pair: Pair | None
    ) -> None:
        command = str(settings["command"])
        arguments = map(str, settings.get("args") or ())
        self._command = [str(folder / command) if "/" in command else command, *arguments]
        self._variables = {str(item["name"]): str(item["value"]) for item in settings.get("env") or ()}
        self._version, self._kubeconfig, self._pair = str(settings["apiVersion"]), kubeconfig, pair
        is_interactive = settings.get("interactiveMode") != "Never" and sys.stdin.isatty()
        self._spec: dict[str, Any] = {"interactive": is_interactive}
        if settings.get("provideClusterInfo"):
            self._spec["cluster"] = _cluster_info(cluster)
        self._install_hint = str(settings.get("installHint") or "").strip()
        self._credentials: Mapping[str, Any] = {}
        self._expires: datetime | None = None
        self._lock = threading.Lock()

    def headers(self) -> Mapping[str, str]:
        token = self._current().get("token")
        try:
            return _bearer(token) if token else {}
        except ValueError as exc:
            raise self._failed(f"{self._command[0]} gave an invalid token: {exc}") from exc

    def certificate(self) -> Pair | None:
        credentials = self._current()
        if credentials.get("clientCertificateData"):
            key = str(credentials.get("clientKeyData") or "")
            return str(credentials["clientCertificateData"]).encode(), key.encode()
        return self._pair

    def _current(self) -> Mapping[str, Any]:
        with self._lock:  # one login for all waiting threads: it may open a page in a browser
            is_expired = self._expires is not None and datetime.now(UTC) >= self._expires - _RENEWAL_MARGIN
            if not self._credentials or is_expired:
                self._credentials, self._expires = self._run()
            return self._credentials

    def _run(self) -> tuple[Mapping[str, Any], datetime | None]:
        """Run the program, and return its credentials with their expiry."""
        order = {"apiVersion": self._version, "kind": "ExecCredential", "spec": self._spec}
        env = {**os.environ, **self._variables, "KUBERNETES_EXEC_INFO": json.dumps(order)}
        # Interactive prompts appear on the terminal.
        stdin, stderr = (None, None) if self._spec["interactive"] else (subprocess.DEVNULL, subprocess.PIPE)
        try:
            process = subprocess.run(
                self._command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=env, text=True
            )
        except OSError as exc:
            raise self._failed(f"{exc.strerror}: {self._command[0]}", self._install_hint) from exc
        if process.returncode != 0:
            message = (process.stderr or "").strip()
            end = f"{self._command[0]} ended with exit code {process.returncode}"
            raise self._failed(f"{end}: {message}" if message else end)
        try:
            document = json.loads(process.stdout)
            credentials: dict[str, Any] = dict(document["status"])
        except (KeyError, TypeError, ValueError) as exc:
            raise self._failed(
                f"{self._command[0]} gave no ExecCredential, but {len(process.stdout)} characters"
            ) from exc
        if not (credentials.get("token") or credentials.get("clientCertificateData")):
            raise self._failed(f"{self._command[0]} gave neither a token nor a certificate")
        expiry = credentials.get("expirationTimestamp")
        try:
            return credentials, _instant(expiry) if expiry else None
        except ValueError as exc:
            raise self._failed(f"{self._command[0]} gave a time of expiry that cannot be read: {expiry!r}") from exc

    def _failed(self, why: str, hint: str = "") -> Denied:
        usual = "log in to the cluster again; `kubectl get pods` has to work there"
        return Denied(f"the login program of the kubeconfig {self._kubeconfig} fails: {why}", hint or usual)


def _instant(text: object) -> datetime:
    """Parse a time with its zone. Raises ValueError."""
    instant = datetime.fromisoformat(str(text))
    if instant.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return instant


def _cluster_info(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cluster data that a login program may request."""
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    info = {name: cluster[name] for name in names if cluster.get(name)}
    extensions: Sequence[Mapping[str, Any]] = cluster.get("extensions") or ()
    for item in extensions:
        if item["name"] == "client.authentication.k8s.io/exec":
            info["config"] = item["extension"]
    return info
