"""The API of a cluster, for the server: plain documents in and out, errors of ours."""

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
"""seconds for which one request watches; a silence that lasts longer is a dead connection"""
_PAUSE = 1.0
"""seconds for which nobody tries again after the API server could not be reached: nothing shall queue up behind it"""
_LOGIN = 30.0
"""seconds between two logins in place of one that the API server does not know any more"""
_PAGE = 500
_CONNECTIONS = 16
_SERVER = Asker(
    "the server",
    lambda: Unauthenticated("the cluster's API server does not know the token", "is its ServiceAccount there?"),
    lambda verb, resource: f"grant its ServiceAccount the verb `{verb}` on `{resource}`",
    patient=True,
)


class Api:
    """One API server, as one account. For many threads; every call may be repeated.

    Unreachable where it does not answer, another TemporaryError where it asks to try later, Forbidden (verb and
    resource named), NotFound, Conflict, or UsageError with its words where what was sent is wrong.

    `again` makes the endpoint anew where the API server knows its login no more: a token or a certificate has expired.
    """

    def __init__(self, endpoint: Endpoint, again: Callable[[], Endpoint] | None = None) -> None:
        self._endpoint, self._again = endpoint, again
        self._pool = endpoint.pool(_CONNECTIONS)
        self._login = threading.Lock()
        self._next_login = 0.0
        self._away_until = 0.0
        self._away = ""

    @classmethod
    def connect(cls, config: KubernetesConfig) -> Api:
        """With the account of this pod, or with a kubeconfig where the configuration names one. UsageError."""
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
        """The document that the API server answers. `token`: somebody else's, in place of our own."""
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
        """Delete an object; whether there was one."""
        try:
            self.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except NotFound:
            return False
        return True

    def items(self, path: str, query: Mapping[str, object]) -> tuple[list[Document], str]:
        """Everything of a kind, and the point from which a watch goes on."""
        found: list[Document] = []
        after: str | None = None
        while True:
            page = self.call("GET", path, query={**query, "limit": _PAGE, "continue": after})
            found += page.get("items") or ()
            metadata = page.get("metadata") or {}
            after = metadata.get("continue")
            if not after:
                return found, str(metadata.get("resourceVersion") or "")

    def watch(self, path: str, query: Mapping[str, object], since: str) -> Watching:
        """What changes from `since` on."""
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
        return Watching(response)

    def _log_in(self, refused: Endpoint) -> None:
        """In place of a login that was refused: once for all who had it, and now and then while that does not help."""
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
        """Hang up."""
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


class Watching:
    """The answer of a watch, line by line."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Document]]:
        """(`ADDED` | `MODIFIED` | `DELETED` | `BOOKMARK`, object). Ends after a while. Raises what `Api.call` does."""
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
        """From another thread: let the iteration end now. To close what somebody reads from would wait for him."""
        connection = self._response.connection
        sock = getattr(connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back."""
        self._response.close()
        self._response.release_conn()
