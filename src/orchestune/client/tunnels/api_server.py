"""Requests to the API server of a Kubernetes cluster for a tunnel to its Orchestune server, with errors translated."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode, urlsplit

from orchestune.client.clusters import ConnectedCluster
from orchestune.errors import Denied, OrchestuneError, Unreachable
from orchestune.kubeapi.endpoint import Endpoint, cause
from orchestune.kubeapi.kubeconfig import load
from orchestune.kubeapi.refusals import Asker, refusal

_CONNECT, _READ = 5.0, 15.0
"""timeouts in seconds"""
_FRESH = 3.0
"""seconds after which a kept connection is not reused: the machine may have slept, or be in another network"""


class TunnelApiServer:
    """A client for one context of a kubeconfig, for one thread at a time; `forget` rereads the kubeconfig."""

    def __init__(self, cluster: ConnectedCluster, environ: Mapping[str, str] = os.environ) -> None:
        self._cluster, self._environ = cluster, environ
        self._endpoint: Endpoint | None = None
        self._pool: Any = None
        self._used = 0.0

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> dict[str, Any]:
        """Send a request and return the document of the response. Retries once with a fresh login after 401.

        Raises Forbidden with verb and resource, Denied if the login is not accepted, Unreachable if there is no
        response in time, NotFound, and UsageError if the kubeconfig is unusable.
        """
        had_endpoint = self._endpoint is not None
        status, content = self._ask(method, path, body, query)
        if status == 401 and had_endpoint:
            self.forget()
            status, content = self._ask(method, path, body, query)
        if status >= 400:
            raise self._refusal(status, content)
        document: dict[str, Any] = json.loads(content)
        return document

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str]
    ) -> tuple[int, bytes]:
        import urllib3  # imported on demand: costs a tenth of a second

        endpoint = self._load()
        url = f"{endpoint.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "Content-Type": "application/json", **endpoint.login()}
        data = None if body is None else json.dumps(body).encode()
        timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
        if time.monotonic() - self._used > _FRESH:
            self._pool.clear()
        try:
            reply = self._pool.request(method, url, body=data, headers=headers, timeout=timeout, retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._away(exc, endpoint) from exc
        self._used = time.monotonic()
        return int(reply.status), bytes(reply.data)

    def websocket(self, path: str, timeout: float) -> socket.socket:
        """Open a websocket with the protocol v4.channel.k8s.io, and return its socket. Raises errors as `call` does."""
        import websocket  # equally slow to import

        endpoint = self._load()
        channel = websocket.WebSocket()
        try:
            opened = endpoint.connect(timeout)
            with ExitStack() as on_error:
                on_error.callback(opened.close)
                channel.connect(  # type: ignore[no-untyped-call]
                    f"ws{endpoint.host.removeprefix('http')}{path}",
                    timeout=timeout,
                    header={**endpoint.login(), "sec-websocket-protocol": "v4.channel.k8s.io"},
                    socket=opened,
                )
                on_error.pop_all()
        except websocket.WebSocketBadStatusException as exc:
            raise self._refusal(exc.status_code, exc.resp_body or b"") from exc
        except (websocket.WebSocketException, OSError) as exc:
            raise self._away(exc, endpoint) from exc
        return opened

    def forget(self) -> None:
        """Reread the kubeconfig for the next request: the user may have logged in again."""
        self._endpoint = None

    def _load(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = load(self._cluster.kubeconfig, self._cluster.context, self._environ)
            self._pool = self._endpoint.pool()
        return self._endpoint

    def _away(self, exc: Exception, endpoint: Endpoint) -> OrchestuneError:
        host = urlsplit(endpoint.host).netloc
        reason = cause(exc)
        if (
            isinstance(getattr(exc, "reason", None) or exc, ssl.SSLCertVerificationError)
            or "CERTIFICATE_VERIFY_FAILED" in reason
        ):
            return Denied(
                f"the certificate of the API server {host} of cluster '{self._cluster.name}' is not trusted",
                f"set certificate-authority in the kubeconfig to the cluster's own ({reason})",
            )
        return Unreachable(
            f"the API server {host} of cluster '{self._cluster.name}' cannot be reached: {reason}",
            "check the network and the VPN: `kubectl get pods` must work",
        )

    def _refusal(self, status: int, content: bytes | str) -> OrchestuneError:
        """Translate an error response."""
        asker = _asker(self._cluster.name, self._load().remedy)
        if status == 401:
            self.forget()
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
        return refusal(status, text, asker)


def _asker(cluster: str, remedy: str) -> Asker:
    return Asker(
        "you",
        lambda: Denied(
            f"the cluster '{cluster}' does not accept your login: it has expired, or belongs to another cluster",
            remedy,
        ),
        lambda verb, resource: (
            "ask its administrator for one of the Roles orchestune-viewer, orchestune-editor and orchestune-owner of "
            f"that namespace, or for the verb `{verb}` on `{resource}`"
        ),
        f"cluster '{cluster}'",
    )
