"""Kubernetes API client of the server: plain documents in and out, our own errors."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import urllib3
from kubernetes.watch.watch import iter_resp_lines

from orchestune.backends.kubernetes.config import KubernetesConfig
from orchestune.errors import Denied, NotFound, OrchestuneError, TemporaryError, Unreachable
from orchestune.kubeapi.endpoint import Endpoint, cause
from orchestune.kubeapi.kubeconfig import load
from orchestune.kubeapi.pod_account import of_this_pod
from orchestune.kubeapi.refusals import Asker, Unauthenticated, answered, refusal

log = logging.getLogger(__name__)

Document = dict[str, Any]
_BROKEN = (urllib3.exceptions.HTTPError, OSError)
_CONNECT = 5.0
_READ = 20.0
_WATCH = 30
"""seconds that one watch request lasts; a longer silence means a dead connection"""
_PAUSE = 1.0
"""seconds without retries after the API server was unreachable, so that calls do not queue up behind a timeout"""
_LOGIN = 30.0
"""minimum seconds between two logins after the API server has rejected the credentials"""
_PAGE = 500
_CONNECTIONS = 16
_SERVER = Asker(
    "the server",
    lambda: Unauthenticated("the cluster's API server does not know the token", "is its ServiceAccount there?"),
    lambda verb, resource: f"grant its ServiceAccount the verb `{verb}` on `{resource}`",
    patient=True,
)


class ApiServer:
    """One API server, accessed as one account. Thread-safe; every call may be retried.

    Raises Unreachable if it does not answer, another TemporaryError if it asks to retry later, Forbidden (naming verb
    and resource), NotFound, Conflict, or UsageError with the server's message if the request is invalid.

    `again` rebuilds the endpoint if the API server rejects its credentials: an expired token or certificate.
    """

    def __init__(self, endpoint: Endpoint, again: Callable[[], Endpoint] | None = None) -> None:
        self._endpoint, self._again = endpoint, again
        self._pool = endpoint.pool(_CONNECTIONS)
        self._login = threading.Lock()
        self._next_login = 0.0
        self._away_until = 0.0
        self._away = ""

    @classmethod
    def connect(cls, config: KubernetesConfig) -> ApiServer:
        """Connect with the pod's service account, or with a kubeconfig if one is configured. Raises UsageError."""
        if config.kubeconfig or config.context:
            again = partial(load, config.kubeconfig, config.context)
            return cls(again(), again)
        return cls(of_this_pod())

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        kind: str = "application/json",
        token: str | None = None,
    ) -> Document:
        """Return the response document. `token`: another caller's token, used instead of our own."""
        if time.monotonic() < self._away_until:
            raise Unreachable(self._away)
        data = None if body is None else json.dumps(body).encode()
        timeout = urllib3.Timeout(connect=_CONNECT, read=_READ)
        endpoint = self._endpoint
        try:
            response = self._pool.request(
                method, self._url(path, query), body=data, headers=self._headers(kind, token),
                timeout=timeout, retries=False, redirect=False,
            )  # fmt: skip
            content = response.data.decode("utf-8", "replace")
        except _BROKEN as exc:
            raise self._unreachable(exc) from exc
        if response.status == 401 and token is None:
            self._log_in(endpoint)
        if response.status >= 300:
            raise refusal(response.status, content, _SERVER)
        return answered(content, _SERVER)

    def delete(self, path: str, options: Mapping[str, object]) -> bool:
        """Delete an object. Return False if it did not exist."""
        try:
            self.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except NotFound:
            return False
        return True

    def items(self, path: str, query: Mapping[str, object]) -> tuple[list[Document], str]:
        """Return all objects of a kind, and the resource version from which to watch."""
        found: list[Document] = []
        after: str | None = None
        while True:
            page = self.call("GET", path, query={**query, "limit": _PAGE, "continue": after})
            found += page.get("items") or ()
            metadata = page.get("metadata") or {}
            after = metadata.get("continue")
            if not after:
                return found, str(metadata.get("resourceVersion") or "")

    def watch(self, path: str, query: Mapping[str, object], since: str) -> WatchStream:
        """Watch the changes after the resource version `since`."""
        asked = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": _WATCH,
            "resourceVersion": since,
        }
        timeout = urllib3.Timeout(connect=_CONNECT, read=_WATCH + 10.0)
        endpoint = self._endpoint
        try:
            response = self._pool.request(
                "GET", self._url(path, asked), headers=self._headers("application/json", None),
                timeout=timeout, retries=False, redirect=False, preload_content=False,
            )  # fmt: skip
        except _BROKEN as exc:
            raise self._unreachable(exc) from exc
        if response.status == 401:
            self._log_in(endpoint)
        if response.status >= 300:
            content = response.data.decode("utf-8", "replace")
            raise refusal(response.status, content, _SERVER)
        return WatchStream(response)

    def _log_in(self, refused: Endpoint) -> None:
        """Log in again after a 401: once for all threads with these credentials, at most once per `_LOGIN` seconds."""
        with self._login:
            if self._again is None or self._endpoint is not refused or time.monotonic() < self._next_login:
                return
            try:
                made = self._again()
                made.login()
            except OrchestuneError as exc:
                log.warning("the server cannot log in to the cluster again: %s", exc)
            else:
                self._endpoint, self._pool = made, made.pool(_CONNECTIONS)
            self._next_login = time.monotonic() + _LOGIN

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.clear()

    def _url(self, path: str, query: Mapping[str, object] | None) -> str:
        given = {key: value for key, value in (query or {}).items() if value is not None}
        return f"{self._endpoint.host}{path}" + (f"?{urlencode(given)}" if given else "")

    def _headers(self, kind: str, token: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": kind}
        if token is not None:
            return headers | {"Authorization": f"Bearer {token}"}
        try:
            return {**headers, **self._endpoint.login()}
        except Denied as exc:
            raise Unauthenticated(exc.message, exc.hint) from exc

    def _unreachable(self, exc: BaseException) -> TemporaryError:
        text = f"the cluster's API server {self._endpoint.host} cannot be reached: {cause(exc)}"
        self._away, self._away_until = text, time.monotonic() + _PAUSE
        return Unreachable(text)


class WatchStream:
    """The stream of events of a watch."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        """Yield (`ADDED` | `MODIFIED` | `DELETED` | `BOOKMARK`, object) until the watch times out. Raises like
        `ApiServer.call`.
        """
        try:
            for line in iter_resp_lines(self._response):  # type: ignore[no-untyped-call]
                if not line.strip():
                    continue
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise refusal(int(status.get("code") or 500), json.dumps(status), _SERVER)
                yield event["type"], event["object"]
        except _BROKEN as exc:
            raise Unreachable(f"the cluster's API server hung up: {exc}") from exc
        except ValueError as exc:
            raise TemporaryError(f"the cluster's API server sent half a line: {exc}") from exc
        finally:
            self.close()

    def hang_up(self) -> None:
        """Abort the iteration from another thread. Closing the response would block until its reader returns."""
        connection = self._response.connection
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Return the connection to the pool."""
        self._response.close()
        self._response.release_conn()
