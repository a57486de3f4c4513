"""The client of a Kubernetes API server: requests, lists, watches and websockets, with errors translated."""

from __future__ import annotations

import json
import logging
import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from orchestune.errors import Denied, NotFound, OrchestuneError, Unreachable
from orchestune.kubeapi.endpoint import Endpoint, cause
from orchestune.kubeapi.errors import ApiCaller, Unauthenticated, parsed, refusal
from orchestune.kubeapi.watch_stream import WatchStream

if TYPE_CHECKING:
    import urllib3  # imported on demand, as websocket below: other commands must not pay a tenth of a second for it

log = logging.getLogger(__name__)

Document = dict[str, Any]
T = TypeVar("T")
_JSON = {"Accept": "application/json"}  # not for a websocket: the API server would answer 406
_OBJECTS_PER_PAGE = 100
"""objects per response. Pods to which users have added 64 KiB take almost 1 MiB each as Python objects"""
_MAX_RESPONSE_BYTES = 256 * 2**20
"""of one response, which is held in memory: a page of objects has some tens of MiB at most"""
_WATCH_SECONDS = 30
"""seconds after which the API server ends a watch request"""
_WATCH_SILENCE_SECONDS = _WATCH_SECONDS + 10.0
"""read timeout of a watch in seconds; a longer silence means a dead connection"""
_CHANNEL_PROTOCOL = "v4.channel.k8s.io"
"""websocket subprotocol of port-forward and exec: each message starts with the number of its channel"""


@dataclass(frozen=True)
class RequestPolicy:
    """Timeouts, retries and connections of one client."""

    connect_timeout: float = 5.0
    """timeout in seconds"""
    read_timeout: float = 20.0
    """timeout in seconds"""
    retries: int = 0
    """retries of a request whose connection fails"""
    connections: int = 4
    """connections that are kept open"""
    max_idle: float = math.inf
    """seconds after which a kept connection is not reused: the machine may have slept, or be in another network"""
    login_interval: float = 0.0
    """minimum seconds between two logins after the API server has rejected the credentials"""
    outage_pause: float = 0.0
    """seconds after a connection error in which requests fail at once, so that they do not queue up behind a timeout"""


class ApiServer:
    """One API server, accessed as one account. Connects at the first request; thread-safe; every call may be retried.

    After a 401 it logs in again and repeats the request once. Raises Unreachable if the API server does not answer,
    another TemporaryError if it asks to retry later, PermissionMissing (naming verb and resource), Denied, NotFound,
    Conflict, or UsageError with the API server's message if the request is invalid.
    """

    def __init__(self, load: Callable[[], Endpoint], caller: ApiCaller, policy: RequestPolicy | None = None) -> None:
        """`load` returns the endpoint with current credentials, such as from a kubeconfig that is read again."""
        self._load, self._caller, self._policy = load, caller, policy or RequestPolicy()
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._next_login = 0.0
        self._outage: Unreachable | None = None
        self._outage_until = 0.0

    def open(self) -> None:
        """Load the endpoint now rather than at the first request. Raises UsageError or Denied like `load`."""
        self._connected()

    @property
    def host(self) -> str:
        """URL of the API server. Loads the endpoint if no request has done so."""
        return self._connected().endpoint.host

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        *,
        query: Mapping[str, object] | None = None,
        token: str | None = None,
    ) -> Document:
        """Return the response document. `content_type`: that of the body. `token`: used instead of our own login."""
        return parsed(self.text(method, path, body, content_type, query=query, token=token), self._caller)

    def text(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        *,
        query: Mapping[str, object] | None = None,
        token: str | None = None,
    ) -> str:
        """Return the body of the response, such as a container's log."""
        data = None if body is None else json.dumps(body).encode()

        def send(session: _Session) -> str:
            headers = {**_JSON, "Content-Type": content_type, **self._login(session, token)}
            response, content = self._send(session, method, _with_query(path, query), data, headers)
            self._check(session, response.status, content, token)
            return content

        return self._logged_in(send)

    def pages(self, path: str, query: Mapping[str, object] | None = None) -> Iterator[Document]:
        """Yield the list of all objects of a kind, page by page."""
        position: str | None = None
        while True:
            page = self.call("GET", path, query={**(query or {}), "limit": _OBJECTS_PER_PAGE, "continue": position})
            yield page
            position = (page.get("metadata") or {}).get("continue")
            if not position:
                return

    def list_objects(self, path: str, query: Mapping[str, object] | None = None) -> tuple[list[Document], str]:
        """Return all objects of a kind, and the resource version from which to watch."""
        objects: list[Document] = []
        version = ""
        for page in self.pages(path, query):
            objects += page.get("items") or ()
            version = str((page.get("metadata") or {}).get("resourceVersion") or "")
        return objects, version

    def delete_object(self, path: str, options: Mapping[str, object]) -> bool:
        """Delete an object. Return False if it did not exist."""
        try:
            self.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except NotFound:
            return False
        return True

    def watch(self, path: str, query: Mapping[str, object], since: str) -> WatchStream:
        """Watch the changes after the resource version `since`, with bookmarks."""
        parameters = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": _WATCH_SECONDS,
            "resourceVersion": since,
            **query,
        }

        def send(session: _Session) -> WatchStream:
            target, headers = _with_query(path, parameters), {**_JSON, **self._login(session)}
            response, content = self._send(session, "GET", target, None, headers, stream=_WATCH_SILENCE_SECONDS)
            self._check(session, response.status, content)
            return WatchStream(response, self._caller)

        return self._logged_in(send)

    def websocket(self, path: str, timeout: float) -> socket.socket:
        """Open a websocket for port-forward or exec, and return its socket. `timeout` in seconds."""
        import websocket

        def connect(session: _Session) -> socket.socket:
            endpoint, headers = session.endpoint, self._login(session)
            try:
                with ExitStack() as on_error:
                    connection = on_error.enter_context(endpoint.connect(timeout))
                    websocket.WebSocket().connect(  # type: ignore[no-untyped-call]
                        f"ws{endpoint.host.removeprefix('http')}{path}",
                        timeout=timeout,
                        header={**headers, "sec-websocket-protocol": _CHANNEL_PROTOCOL},
                        socket=connection,
                        redirect_limit=0,  # the login is for this API server alone
                    )
                    on_error.pop_all()
            except websocket.WebSocketBadStatusException as exc:
                self._check(session, exc.status_code, (exc.resp_body or b"").decode("utf-8", "replace"))
                raise self._unreachable(exc, endpoint) from exc  # a success that is no upgrade
            except (websocket.WebSocketException, OSError) as exc:
                raise self._unreachable(exc, endpoint) from exc
            session.is_accepted = True
            return connection

        return self._logged_in(connect)

    def close(self) -> None:
        """Close the kept connections."""
        session = self._session
        if session is not None:
            session.pool.clear()

    def _logged_in(self, attempt: Callable[[_Session], T]) -> T:
        """Return the result of `attempt`, which is repeated once if there are new credentials after a 401."""
        if time.monotonic() < self._outage_until and self._outage is not None:
            raise Unreachable(self._outage.message, self._outage.hint)
        session = self._connected()
        try:
            return attempt(session)
        except _LoginRejected as exc:
            if not self._renew(session):
                raise self._refusal(401, exc.content, session) from None
        session = self._connected()
        try:
            return attempt(session)
        except _LoginRejected as exc:
            self._renew(session)
            raise self._refusal(401, exc.content, session) from None

    def _connected(self) -> _Session:
        session = self._session
        if session is None:
            with self._lock:
                session = self._session = self._session or self._open()
        return session

    def _open(self) -> _Session:
        endpoint = self._load()
        return _Session(endpoint, endpoint.pool(self._policy.connections))

    def _renew(self, rejected: _Session) -> bool:
        """Log in again after a 401: once for all threads with these credentials. Return True if a retry may succeed.

        A user's credentials that were never accepted are forgotten instead, as a second login would most likely give
        the same ones, and may ask for a password: the next request reads the kubeconfig again.
        """
        is_retrying = self._caller.is_retrying
        with self._lock:
            if self._session is not rejected:
                return True
            if time.monotonic() < self._next_login:
                return False
            if not is_retrying:
                self._session = None
                if not rejected.is_accepted:
                    return False
            try:
                session = self._open()
                session.endpoint.login()
            except OrchestuneError as exc:
                if not is_retrying:
                    raise
                log.warning("%s cannot log in to %s again: %s", self._caller.name, self._caller.cluster, exc)
                return False
            else:
                self._session = session
                return True
            finally:
                self._next_login = time.monotonic() + self._policy.login_interval

    def _login(self, session: _Session, token: str | None = None) -> Mapping[str, str]:
        if token is not None:
            return {"Authorization": f"Bearer {token}"}
        try:
            return session.endpoint.login()
        except Denied as exc:
            if self._caller.is_retrying:
                raise Unauthenticated(exc.message, exc.hint) from exc
            raise

    def _send(
        self,
        session: _Session,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        stream: float | None = None,
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Return the response with its content.

        `stream`: read timeout in seconds of a caller that reads a successful response itself; the content is then empty
        unless there is an error.
        """
        import urllib3

        policy = self._policy
        if time.monotonic() - session.last_used > policy.max_idle:
            session.pool.clear()
        read_timeout = policy.read_timeout if stream is None else stream
        try:
            response = session.pool.request(
                method,
                session.endpoint.host + path,
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=policy.connect_timeout, read=read_timeout),
                # Responses such as 429 are not repeated here: their Retry-After may be hours.
                retries=urllib3.Retry(policy.retries, redirect=0, status=0, respect_retry_after_header=False),
                redirect=False,
                preload_content=False,
            )
            is_read = stream is None or response.status >= 300
            content = _content(response) if is_read else ""
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise self._unreachable(exc, session.endpoint) from exc
        session.last_used = time.monotonic()
        return response, content

    def _check(self, session: _Session, status: int, content: str, token: str | None = None) -> None:
        """Raise the error of a response without success."""
        if token is None and status == 401:
            raise _LoginRejected(content)
        session.is_accepted = session.is_accepted or token is None
        if status >= 300:
            raise self._refusal(status, content, session)

    def _refusal(self, status: int, content: str, session: _Session) -> OrchestuneError:
        return refusal(status, content, self._caller, session.endpoint.remedy)

    def _unreachable(self, exc: BaseException, endpoint: Endpoint) -> OrchestuneError:
        """Return the error of a failed connection, and start the pause after it."""
        reason, api_server = cause(exc), self._caller.api_server(endpoint.host)
        is_untrusted = isinstance(getattr(exc, "reason", None) or exc, ssl.SSLCertVerificationError)
        if not self._caller.is_retrying and (is_untrusted or "CERTIFICATE_VERIFY_FAILED" in reason):
            return self._caller.certificate_error(
                f"the certificate of {api_server} is not trusted",
                f"set certificate-authority in the kubeconfig to the cluster's own ({reason})",
            )
        error = Unreachable(f"{api_server} cannot be reached: {reason}", self._caller.network_hint)
        self._outage, self._outage_until = error, time.monotonic() + self._policy.outage_pause
        return error


def _content(response: urllib3.BaseHTTPResponse) -> str:
    """Read the body. Raises OSError if it is too large: it may be a proxy's, or a server that means harm."""
    content: bytes = response.read(_MAX_RESPONSE_BYTES + 1)
    if len(content) > _MAX_RESPONSE_BYTES:
        response.close()
        raise OSError(f"its response has more than {_MAX_RESPONSE_BYTES >> 20} MiB")
    response.release_conn()
    return content.decode("utf-8", "replace")


@dataclass
class _Session:
    """The endpoint of one login, with its connections: they may carry its client certificate."""

    endpoint: Endpoint
    pool: urllib3.PoolManager
    is_accepted: bool = False
    """the API server has accepted the credentials"""
    last_used: float = 0.0
    """`time.monotonic()` of the last response"""


class _LoginRejected(Exception):
    """The API server has answered 401 to our own credentials."""

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self.content = content


def _with_query(path: str, query: Mapping[str, object] | None) -> str:
    """Return the path with the query; None leaves a parameter out."""
    parameters = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(parameters)}" if parameters else path
