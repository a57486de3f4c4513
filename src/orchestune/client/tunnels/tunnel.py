"""A tunnel to a server inside a Kubernetes cluster: through the API server, with a short-lived token of a role."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from orchestune.client.address import ServerAccess
from orchestune.client.clusters import ConnectedCluster
from orchestune.client.tunnels import server_pod
from orchestune.client.tunnels.api_server import api_server
from orchestune.client.tunnels.websocket import PING_AFTER_SECONDS, SILENCE_TIMEOUT_SECONDS, ForwardedConnection, join
from orchestune.domain.clusters.cluster import SERVER_ROLES
from orchestune.errors import Denied, NotFound, TemporaryError, Unreachable
from orchestune.kubeapi.archive_record import ARCHIVE_RECORD, ArchiveRecord
from orchestune.kubeapi.errors import PermissionMissing
from orchestune.kubeapi.labels import SERVERS, selector

PORT = 8470
_LIFETIME = 3600
"""requested lifetime of a token in seconds; the API server may grant another"""
_RENEWED = 0.75
"""fraction of the lifetime after which the next connection gets a new token"""
_CORRECTION = 8.0
"""seconds in which the server may still be adding its pod's name to the Roles; it checks them every 5 s"""
_DECISION = 0.5
"""seconds in which a pod that is not ready shows whether a server listens in it"""


@contextmanager
def _passing() -> Iterator[None]:
    """Raise transient errors as Unreachable: a busy API server, a pod that was deleted after it was listed."""
    try:
        yield
    except Unreachable:
        raise
    except (TemporaryError, NotFound) as exc:
        raise Unreachable(exc.message, exc.hint) from exc


class Tunnel:
    """A tunnel to one cluster's server, for all threads of this process. A Transport needs its `resolve`."""

    def __init__(
        self,
        cluster: ConnectedCluster,
        environ: Mapping[str, str] = os.environ,
        *,
        remember: Callable[[ConnectedCluster], None] = lambda cluster: None,
        clock: Callable[[], float] = time.time,
        ping: float = PING_AFTER_SECONDS,
        silence: float = SILENCE_TIMEOUT_SECONDS,
    ) -> None:
        """`remember` is called with the cluster and its role if that has changed; see `websocket` for the timeouts."""
        self._cluster, self._remember, self._clock = cluster, remember, clock
        self._api = api_server(cluster, environ)
        self._ping, self._silence = ping, silence
        self._token, self._renew_at = "", 0.0
        self._refused_since: float | None = None
        """time since which port forwarding has been refused to this user; None if the last request was allowed"""
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"the server in cluster '{self._cluster.name}'"

    def resolve(self) -> ServerAccess:
        """Return the current access. Raises Denied or Forbidden if this user has none, or Unreachable."""
        with self._lock, _passing():
            if self._clock() >= self._renew_at:
                with self._unless_destroyed():
                    self._renew()
            host = f"http://orchestune.{self._cluster.namespace}"
            return ServerAccess(host, self._token, self._cluster.user, self.dial, self.name)

    def dial(self, timeout: float) -> socket.socket:
        """Connect to the server's current pod.

        Raises Unreachable with the reason: no pod, one that is pending or crashes, an API server that does not answer.
        Raises Forbidden if this user may not forward ports to that pod, even after the server had time to allow it.
        """
        with self._lock, _passing():
            with self._unless_destroyed():
                pods = self._pods()
                pod = server_pod.choose(pods)
                if pod is None:
                    raise self._absent(pods)
            path = self._path(f"pods/{pod['metadata']['name']}/portforward?ports={PORT}")
            connection = join(self._websocket(path, timeout, pods, pod), ping=self._ping, silence=self._silence)
        connection.socket.settimeout(timeout)
        if not server_pod.ready(pod):
            self._refuse_silence(connection, pods)
        return connection.socket

    @contextmanager
    def _unless_destroyed(self) -> Iterator[None]:
        """Raise ClusterDestroyed instead of the block's error if a record says that it was, and where its archive is.

        The record is remembered, since the Kubernetes cluster itself may be removed later.
        """
        try:
            yield
        except (PermissionMissing, TemporaryError, NotFound) as exc:
            record = self._archive_record()
            if record is None:
                raise
            destroyed = replace(self._cluster, archive=record.archive, destroyed_by=record.by, destroyed_at=record.at)
            if destroyed != self._cluster:
                self._cluster = destroyed
                self._remember(destroyed)
            raise record.error(self._cluster.name) from exc

    def _archive_record(self) -> ArchiveRecord | None:
        """Return the record in the namespace, or the remembered one if the API server does not answer."""
        cluster = self._cluster
        try:
            document = self._api.call("GET", self._path(f"configmaps/{ARCHIVE_RECORD}"))
        except (NotFound, Denied):
            return None
        except TemporaryError:
            is_known = bool(cluster.destroyed_at)
            return ArchiveRecord(cluster.archive, cluster.destroyed_by, cluster.destroyed_at) if is_known else None
        data = document.get("data") or {}
        return ArchiveRecord.from_data(data) if data.get("archive") else None

    def _pods(self) -> list[server_pod.Pod]:
        return list(self._api.call("GET", self._path("pods"), query={"labelSelector": selector(SERVERS)})["items"])

    def _websocket(self, path: str, timeout: float, pods: list[server_pod.Pod], pod: server_pod.Pod) -> socket.socket:
        """Open the websocket. A new pod's name is in the Roles only after its server has added it."""
        try:
            connection = self._api.websocket(path, timeout)
        except PermissionMissing as exc:
            if not server_pod.ready(pod):
                raise self._starting(pods) from exc
            now = self._clock()
            self._refused_since = now if self._refused_since is None else self._refused_since
            if now - self._refused_since < _CORRECTION:
                raise Unreachable(exc.message, exc.hint) from exc
            hint = f"{exc.hint}; if you have such a Role, the server's log explains why its pod is missing from it"
            raise PermissionMissing(exc.message, hint) from exc
        self._refused_since = None
        return connection

    def _refuse_silence(self, connection: ForwardedConnection, pods: list[server_pod.Pod]) -> None:
        """Raise Unreachable while the server is starting, instead of returning a connection that closes at once."""
        connection.outcome_known.wait(_DECISION)
        if connection.outcome_known.is_set() and connection.error:
            connection.socket.close()
            raise self._starting(pods)

    def _starting(self, pods: list[server_pod.Pod]) -> Unreachable:
        return Unreachable(
            f"{self.name} does not answer: {server_pod.why(pods, self._clock())}, and does not accept connections yet",
            f"retry in a moment; {self._hint}",
        )

    def _absent(self, pods: list[server_pod.Pod]) -> Unreachable:
        place = f" in namespace {self._cluster.namespace}" if not pods else ""
        hint = self._hint
        if server_pod.is_stuck(pods, self._clock()):
            hint = (
                f"`orchestune cluster recover -n {self._cluster.name}` says what is safe, and starts it on another node"
            )
        return Unreachable(f"{self.name} does not answer: {server_pod.why(pods, self._clock())}{place}", hint)

    @property
    def _hint(self) -> str:
        name = self._cluster.name
        return f"`orchestune cluster test -n {name}` finds the cause, `orchestune cluster connect -n {name}` repairs it"

    def _renew(self) -> None:
        """Get a token of the highest role that this user may have; the remembered role is tried first."""
        remembered = self._cluster.role
        refusal: PermissionMissing | None = None
        for role in dict.fromkeys([*([remembered] if remembered in SERVER_ROLES else []), *reversed(SERVER_ROLES)]):
            try:
                self._request(role)
            except PermissionMissing as exc:
                refusal = refusal or exc
                continue
            current = replace(self._cluster, role=role, destroyed_by="", destroyed_at="")
            if current != self._cluster:
                self._cluster = current
                self._remember(current)
            return
        assert refusal is not None
        message = f"{refusal.message}, for none of the roles owner, editor and viewer"
        raise PermissionMissing(message, refusal.hint) from refusal

    def _request(self, role: str) -> None:
        requested_at = self._clock()
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": _LIFETIME},
        }
        try:
            answer = self._api.call("POST", self._path(f"serviceaccounts/orchestune-{role}/token"), body)
        except NotFound as exc:
            raise Unreachable(
                f"{self.name} is not deployed: {exc.message}",
                f"`orchestune cluster connect -n {self._cluster.name}` deploys it",
            ) from exc
        self._token = str(answer["status"]["token"])
        self._renew_at = requested_at + _RENEWED * float(answer["spec"].get("expirationSeconds") or _LIFETIME)

    def _path(self, rest: str) -> str:
        return f"/api/v1/namespaces/{self._cluster.namespace}/{rest}"
