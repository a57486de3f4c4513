"""The few requests that the way to a server in a cluster makes of the cluster's API server. Its errors become ours."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from orchestune.client.clusters import Cluster
from orchestune.client.kubeconfig import load
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, Unreachable, UsageError

_CONNECT, _READ = 5.0, 15.0
"""seconds"""
_FRESH = 3.0
"""seconds after which a kept connection is not trusted: the machine may have slept, or be in another network"""
_FORBIDDEN = re.compile(r'cannot (\S+) resource "([^"]+)" in API group "([^"]*)"')
_KEEPALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


class Forbidden(Denied):
    """The kubeconfig's user lacks a right in the cluster."""


class ApiServer:
    """One context of a kubeconfig, for one thread at a time; read anew by `forget`."""

    def __init__(self, cluster: Cluster, environ: Mapping[str, str] = os.environ) -> None:
        self._cluster, self._environ = cluster, environ
        self._configuration: Any = None
        self._pool: Any = None
        self._tls: ssl.SSLContext | None = None
        self._used = 0.0

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """The document that it answers.

        Forbidden names verb and resource; Denied where it does not know the caller; Unreachable where it does not
        answer in time; NotFound; UsageError where the kubeconfig cannot be used.
        """
        import urllib3  # comes with the official client

        self._load()
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": "application/json", **self._login()}
        data = None if body is None else json.dumps(body).encode()
        timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
        if time.monotonic() - self._used > _FRESH:
            self._pool.clear()
        try:
            reply = self._pool.request(method, url, body=data, headers=headers, timeout=timeout, retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._away(exc) from exc
        self._used = time.monotonic()
        if reply.status >= 400:
            raise self._refusal(reply.status, reply.data)
        document: dict[str, Any] = json.loads(reply.data)
        return document

    def websocket(self, path: str, timeout: float) -> socket.socket:
        """An open websocket of the protocol v4.channel.k8s.io, as the socket below it. Errors as `call`."""
        import websocket
        from kubernetes.stream.ws_client import websocket_proxycare

        self._load()
        configuration = self._configuration
        options: dict[str, Any] = {"header": {**self._login(), "sec-websocket-protocol": "v4.channel.k8s.io"}}
        if configuration.proxy or configuration.proxy_headers:
            options = websocket_proxycare(  # type: ignore[no-untyped-call]
                options, configuration, configuration.host, None
            )
        sslopt: dict[str, Any] = {"context": self._tls}
        if configuration.tls_server_name:
            sslopt["server_hostname"] = configuration.tls_server_name
        channel = websocket.WebSocket(sslopt=sslopt, sockopt=_KEEPALIVE)
        try:
            url = f"ws{configuration.host.removeprefix('http')}{path}"
            channel.connect(url, timeout=timeout, **options)  # type: ignore[no-untyped-call]
        except websocket.WebSocketBadStatusException as exc:
            raise self._refusal(exc.status_code, exc.resp_body or b"") from exc
        except (websocket.WebSocketException, OSError) as exc:
            raise self._away(exc) from exc
        assert channel.sock is not None
        return channel.sock

    def forget(self) -> None:
        """Read the kubeconfig anew for the next request: its user may have logged in again."""
        self._configuration = None

    def _load(self) -> None:
        if self._configuration is not None:
            return
        configuration = load(self._cluster.kubeconfig, self._cluster.context, self._environ)
        from kubernetes.client import ApiClient  # imported by now

        self._pool = ApiClient(configuration).rest_client.pool_manager
        self._tls = _tls(configuration) if configuration.host.startswith("https") else None
        self._configuration = configuration

    def _login(self) -> dict[str, str]:
        """The headers that say who asks; a login program is run again where its answer has expired."""
        settings = self._configuration.auth_settings().values()
        return {auth["key"]: auth["value"] for auth in settings if auth["in"] == "header" and auth["value"]}

    def _away(self, exc: Exception) -> OrchestuneError:
        where = urlsplit(self._configuration.host).netloc
        cause = getattr(exc, "reason", None) or exc
        text = str(cause).rpartition(">: ")[2].rpartition(": Failed to establish a new connection: ")[2]
        said = text or str(cause) or type(cause).__name__
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in said:
            return Denied(
                f"the API server {where} of cluster '{self._cluster.name}' shows a certificate that is not trusted",
                f"certificate-authority in the kubeconfig must be the cluster's own ({said})",
            )
        return Unreachable(
            f"the API server {where} of cluster '{self._cluster.name}' cannot be reached: {said}",
            "is the network up, and the VPN where one is needed? `kubectl get pods` has to work there",
        )

    def _refusal(self, status: int, content: bytes | str) -> OrchestuneError:
        """The error behind an answer that is none."""
        name = self._cluster.name
        try:
            message = str(json.loads(content)["message"])
        except (ValueError, KeyError, TypeError):
            message = f"the API server answered {status}"
        if status == 401:
            self.forget()
            return Denied(
                f"the cluster '{name}' does not accept your login: it has expired, or the kubeconfig is another one's",
                "log in to the cluster again; `kubectl get pods` has to work there",
            )
        if status == 403:
            return _forbidden(message, self._cluster)
        if status == 404:
            return NotFound(f"cluster '{name}': {message}")
        if status in (409, 429) or status >= 500:
            return TemporaryError(f"the API server of cluster '{name}' says: {message}", "try again in a moment")
        return UsageError(f"the API server of cluster '{name}' refuses this: {message}")


def _forbidden(message: str, cluster: Cluster) -> OrchestuneError:
    found = _FORBIDDEN.search(message)
    if found is None:
        return Forbidden(f"cluster '{cluster.name}' forbids this: {message}")
    verb, resource, group = found.groups()
    resource += f".{group}" if group else ""
    return Forbidden(
        f"you may not {verb} {resource} in namespace {cluster.namespace} of cluster '{cluster.name}'",
        "ask its administrator for one of the Roles orchestune-viewer, orchestune-editor and orchestune-owner of that "
        f"namespace, or for the verb `{verb}` on `{resource}`",
    )


def _tls(configuration: Any) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # certificates of many clusters lack what it asks for
        if not configuration.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except OSError as exc:
        raise UsageError(f"a certificate of the kubeconfig cannot be used: {exc}", "mend the kubeconfig") from exc
    return context
