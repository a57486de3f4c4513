"""HTTP connections with timeouts and size limits for all that uvicorn waits for: clients may be slow or hostile."""

from __future__ import annotations

import resource
from asyncio import TimerHandle, Transport
from collections import defaultdict

from httptools import HttpParserError
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchestune.server.caller_address import throttle_key
from orchestune.server.peers import FOR_WORKERS, OF_ONE_USER, STATE, PeerUser
from orchestune.services.core import Caller

ASKING = 30.0
"""timeout in seconds from the first byte of a request to the end of its headers, and between two parts of its body"""
SLOWEST = 1024
"""minimum average upload rate of a body, in bytes per second"""
TAKING = 300.0
"""timeout in seconds for a client that does not read its response"""
LARGEST = 1 << 16
"""maximum bytes of headers, or of other data outside of bodies"""
MOST_QUEUED = 16
"""maximum of requests that a client may send before the response to an earlier one. Each takes about 3 KiB, 200 times
its bytes on the wire, and uvicorn reads further ones after each response. No client of ours sends any."""
_AROUND_HEADER = len(b": \r\n")
_TOO_LARGE = f"The headers have more than {LARGEST} bytes."
_TOO_MANY = f"More than {MOST_QUEUED} requests were sent before the response to the first one."
CROWD = 128
"""number of connections above which an embedded server closes those that no caller has authenticated in time"""
AUTHENTICATING = 2.0
"""timeout in seconds for a connection to authenticate while there are more than `CROWD`: ones that hold their place
without a right to it are closed, rather than new ones refused, among them those of containers of other users"""
_BATCH = 1 / 8
"""least part of all connections to close at once: each time, all of them are scanned"""


class BoundedConnection(HttpToolsProtocol):
    """A uvicorn connection with further timeouts.

    uvicorn closes connections that are idle after a response, but not those that never send a request, send one byte by
    byte or without an end, or do not read the response.
    """

    _due: float | None = None
    """deadline for the part of a request that is being received"""
    _timer: TimerHandle | None = None
    """wakes up at the deadline, or earlier: deadlines only move later, and a new timer for each costs more"""
    _stuck: TimerHandle | None = None
    """deadline for the client to read a part of the response"""
    _aside = 0
    """bytes received since the last part of a body"""
    _began = 0.0
    """time when the connection was accepted"""
    _segment = 0
    """bytes that are being parsed"""
    _running: RequestResponseCycle | None = None
    """the request in progress; pipelined ones may be queued behind it"""
    _authenticating: TimerHandle | None = None
    """timer that closes the connection if it is idle, unauthenticated, and one of many"""

    def handshake_begun(self, handshake: Transport, client: tuple[str, int]) -> None:
        """Count the connection before it is made. Until then `handshake` is its transport, which makes it idle."""
        self.transport, self.client, self._began = handshake, client, self.loop.time()
        self.connections.add(self)
        if self._are_many():
            self._make_room()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        for_workers = bool(self.app_state.get(FOR_WORKERS))
        peer = PeerUser(transport, for_workers=for_workers)
        self.app_state = {**self.app_state, STATE: peer}
        self._expect(self.loop.time() + ASKING)
        self._began = self.loop.time()
        if self.app_state.get(OF_ONE_USER) and not peer.is_unix:
            self._authenticating = self.loop.call_later(AUTHENTICATING, self._close_in_crowd)
        if self._are_many() and not peer.is_unix:
            self._make_room()
            if for_workers and self._are_many():
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._due = None
        for timer in (self._timer, self._authenticating):
            if timer is not None:
                timer.cancel()
        self.resume_writing()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # uvicorn notifies only the last pipelined request: an earlier one would write to a closed connection
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        silent = self.timeout_keep_alive_task
        self._aside += len(data)
        self._segment = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._aside > LARGEST:
            self.send_400_response(_TOO_LARGE)
        elif silent is not None and self._due is None and self._answered():  # no request began: keep the idle timeout
            self.timeout_keep_alive_task = self.loop.call_at(silent.when(), self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        if self._answered():
            super().send_400_response(msg)
        else:  # the client would take this response for a part of the one in progress
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect(self.loop.time() + ASKING)

    def on_headers_complete(self) -> None:
        self._refuse_large_headers()
        if len(self.pipeline) >= MOST_QUEUED:
            raise HttpParserError(_TOO_MANY)
        super().on_headers_complete()
        self._expect(self.loop.time() + ASKING)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._aside = 0
        if self._due is not None:
            self._expect(min(self._due + len(body) / SLOWEST, self.loop.time() + ASKING))

    def on_message_complete(self) -> None:
        self._refuse_large_headers()  # trailers are among them
        super().on_message_complete()
        self._aside = 0
        self._expect(None)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(TAKING, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def _refuse_large_headers(self) -> None:
        """Raise HttpParserError if the headers are too large.

        Those that arrive in one segment are parsed before `_aside` is checked; in a shorter segment they cannot be.
        """
        if self._segment > LARGEST:
            size = len(self.url) + sum(len(name) + len(value) + _AROUND_HEADER for name, value in self.headers)
            if size > LARGEST:
                raise HttpParserError(_TOO_LARGE)

    def _expect(self, when: float | None) -> None:
        """Set the deadline for the next part of the request; None if no part is expected."""
        self._due = when
        if when is not None and self._timer is None:
            self._timer = self.loop.call_at(when, self._wake)

    def _are_many(self) -> bool:
        """Return True if connections use more than half of the file descriptors.

        Without free ones the server could neither open files nor accept connections, not even from its own user.
        """
        return len(self.connections) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def _make_room(self) -> None:
        """Close the older half of the idle connections of the address that has most of them, then of the next one,
        until a batch is closed: of a caller with many addresses each may have one.
        """
        idle: defaultdict[str, list[BoundedConnection]] = defaultdict(list)
        for other in self.connections:
            if (
                isinstance(other, BoundedConnection)
                and other is not self
                and other.is_idle
                and other.client is not None
            ):
                idle[throttle_key(other.client[0])].append(other)
        for connections in idle.values():
            connections.sort(key=lambda connection: connection._began)
        closed, batch = 0, len(self.connections) * _BATCH
        for connections in sorted(idle.values(), key=lambda group: (-len(group), group[0]._began)):
            for connection in connections[: (len(connections) + 1) // 2]:
                connection.transport.abort()
                self.connections.discard(connection)
                closed += 1
            if closed >= batch:
                break

    def _close_in_crowd(self) -> None:
        """Close the connection if it only holds a place; otherwise check again later."""
        if len(self.connections) > CROWD and self._caller is None and self.is_idle:
            self.transport.abort()
            self.connections.discard(self)  # the timers of others that run now need not close more
        else:
            self._authenticating = self.loop.call_later(AUTHENTICATING, self._close_in_crowd)

    @property
    def _caller(self) -> Caller | None:
        """The authenticated caller of the last request that was complete enough to begin; None if there is none."""
        return self._running.scope["state"].get("caller") if self._running is not None else None

    @property
    def is_idle(self) -> bool:
        """True if the connection may be closed without loss: it has no request in progress and does not belong to a
        worker, or its client is unauthenticated and has not sent a complete request.
        """
        caller = self._caller
        if caller is None:
            return self._due is not None or self._answered()
        return self._answered() and caller.role != "worker"

    def _wake(self) -> None:
        self._timer = None
        if self._due is not None and self.loop.time() < self._due:
            self._expect(self._due)
        elif self._due is not None:
            self._late()

    def _late(self) -> None:
        if self.flow.read_paused:  # backpressure: the server, not the client, is slow
            self._expect(self.loop.time() + ASKING)
        else:
            self.transport.close()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
