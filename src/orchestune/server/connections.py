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

REQUEST_TIMEOUT_SECONDS = 30.0
"""timeout in seconds from the first byte of a request to the end of its headers, and between two parts of its body"""
MIN_UPLOAD_BYTES_PER_SECOND = 1024
"""minimum average upload rate of a body, in bytes per second"""
DISCARDED_BYTES_PER_PAUSE = 1 << 18
"""bytes of a body read after its response until the next pause: libuv reads megabytes per turn of the loop, and clients
that were refused could keep all others waiting with bodies of gigabytes"""
DISCARD_PAUSE_SECONDS = 0.05
"""pause in seconds: a client that sends its whole body before it reads a refusal still gets it"""
MAX_DISCARDED_BYTES = 32 << 20
"""bytes of such a body after which the connection is aborted"""
RESPONSE_TIMEOUT_SECONDS = 300.0
"""timeout in seconds for a client that does not read its response"""
MAX_HEADER_BYTES = 1 << 16
"""maximum bytes of headers, or of other data outside of bodies"""
MAX_QUEUED_REQUESTS = 16
"""maximum of requests that a client may send before the response to an earlier one. Each takes about 3 KiB, 200 times
its bytes on the wire, and uvicorn reads further ones after each response. No client of ours sends any."""
_AROUND_HEADER = len(b": \r\n")
_TOO_LARGE = f"The headers have more than {MAX_HEADER_BYTES} bytes."
_TOO_MANY = f"More than {MAX_QUEUED_REQUESTS} requests were sent before the response to the first one."
MAX_UNCHECKED_CONNECTIONS = 128
"""number of connections above which an embedded server closes those that no caller has authenticated in time"""
AUTHENTICATION_SECONDS = 2.0
"""timeout for a connection to authenticate while there are more than `MAX_UNCHECKED_CONNECTIONS`. Unauthenticated ones
are closed rather than new ones refused: those may come from containers, which run as other users."""
_MIN_CLOSED_SHARE = 1 / 8
"""least part of all connections to close at once: each time, all of them are scanned"""


class BoundedConnection(HttpToolsProtocol):
    """A uvicorn connection with further timeouts.

    uvicorn closes connections that are idle after a response, but not those that never send a request, send one byte by
    byte or without an end, or do not read the response.
    """

    _receive_deadline: float | None = None
    """deadline for the part of a request that is being received"""
    _receive_timer: TimerHandle | None = None
    """wakes up at the deadline, or earlier: deadlines only move later, and a new timer for each costs more"""
    _send_timer: TimerHandle | None = None
    """deadline for the client to read a part of the response"""
    _unparsed_bytes = 0
    """bytes received since the last part of a body"""
    _discarded_bytes = 0
    """bytes of a body that arrived after the response to its request"""
    _accepted_at = 0.0
    """time when the connection was accepted"""
    _segment_bytes = 0
    """bytes that are being parsed"""
    _running: RequestResponseCycle | None = None
    """the request in progress; pipelined ones may be queued behind it"""
    _authentication_timer: TimerHandle | None = None
    """timer that closes the connection if it is idle, unauthenticated, and one of many"""

    def begin_handshake(self, handshake: Transport, client: tuple[str, int]) -> None:
        """Count the connection before it is made. Until then `handshake` is its transport, which makes it idle."""
        self.transport, self.client, self._accepted_at = handshake, client, self.loop.time()
        self.connections.add(self)
        if self._are_many():
            self._make_room()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        for_workers = bool(self.app_state.get(FOR_WORKERS))
        peer = PeerUser(transport, for_workers=for_workers)
        self.app_state = {**self.app_state, STATE: peer}
        self._expect(self.loop.time() + REQUEST_TIMEOUT_SECONDS)
        self._accepted_at = self.loop.time()
        if self.app_state.get(OF_ONE_USER) and not peer.is_unix:
            self._authentication_timer = self.loop.call_later(AUTHENTICATION_SECONDS, self._close_in_crowd)
        if self._are_many() and not peer.is_unix:
            self._make_room()
            if for_workers and self._are_many():
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._receive_deadline = None
        for timer in (self._receive_timer, self._authentication_timer):
            if timer is not None:
                timer.cancel()
        self.resume_writing()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # uvicorn notifies only the last pipelined request: an earlier one would write to a closed connection
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        idle_timer = self.timeout_keep_alive_task
        self._unparsed_bytes += len(data)
        self._segment_bytes = len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed_bytes > MAX_HEADER_BYTES:
            self.send_400_response(_TOO_LARGE)
        elif idle_timer is not None and self._receive_deadline is None and self._is_answered():
            # No request began: keep the idle timeout.
            self.timeout_keep_alive_task = self.loop.call_at(idle_timer.when(), self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        if self._is_answered():
            super().send_400_response(msg)
        else:  # the client would take this response for a part of the one in progress
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._discarded_bytes = 0
        self._expect(self.loop.time() + REQUEST_TIMEOUT_SECONDS)

    def on_headers_complete(self) -> None:
        self._refuse_large_headers()
        if len(self.pipeline) >= MAX_QUEUED_REQUESTS:
            raise HttpParserError(_TOO_MANY)
        super().on_headers_complete()
        self._expect(self.loop.time() + REQUEST_TIMEOUT_SECONDS)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._unparsed_bytes = 0
        if self._is_answered():
            self._discard(len(body))
        if self._receive_deadline is not None:
            at_least_rate = self._receive_deadline + len(body) / MIN_UPLOAD_BYTES_PER_SECOND
            self._expect(min(at_least_rate, self.loop.time() + REQUEST_TIMEOUT_SECONDS))

    def on_message_complete(self) -> None:
        self._refuse_large_headers()  # trailers are among them
        super().on_message_complete()
        self._unparsed_bytes = 0
        self._expect(None)

    def _discard(self, size: int) -> None:
        """Count bytes of no use; pause between batches of them, and abort the connection if there are many."""
        batches = self._discarded_bytes // DISCARDED_BYTES_PER_PAUSE
        self._discarded_bytes += size
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.abort()
        elif self._discarded_bytes // DISCARDED_BYTES_PER_PAUSE > batches:
            self.flow.pause_reading()
            self.loop.call_later(DISCARD_PAUSE_SECONDS, self._continue_reading)

    def _continue_reading(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._send_timer = self.loop.call_later(RESPONSE_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _refuse_large_headers(self) -> None:
        """Raise HttpParserError if the headers are too large.

        Those that arrive in one segment are parsed before `_unparsed_bytes` is checked; in a shorter segment they
        cannot be too large.
        """
        if self._segment_bytes > MAX_HEADER_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + _AROUND_HEADER for name, value in self.headers)
            if size > MAX_HEADER_BYTES:
                raise HttpParserError(_TOO_LARGE)

    def _expect(self, when: float | None) -> None:
        """Set the deadline for the next part of the request; None if no part is expected."""
        self._receive_deadline = when
        if when is not None and self._receive_timer is None:
            self._receive_timer = self.loop.call_at(when, self._check_deadline)

    def _are_many(self) -> bool:
        """Return True if connections use more than half of the file descriptors.

        Without free ones the server could neither open files nor accept connections, not even from its own user.
        """
        return len(self.connections) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def _make_room(self) -> None:
        """Close the older half of the idle connections of the address that has most of them.

        The next address follows until a batch is closed: of a caller with many addresses each may have one.
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
            connections.sort(key=lambda connection: connection._accepted_at)
        closed, batch = 0, len(self.connections) * _MIN_CLOSED_SHARE
        for connections in sorted(idle.values(), key=lambda group: (-len(group), group[0]._accepted_at)):
            for connection in connections[: (len(connections) + 1) // 2]:
                connection.transport.abort()
                self.connections.discard(connection)
                closed += 1
            if closed >= batch:
                break

    def _close_in_crowd(self) -> None:
        """Close the connection if it only holds a place; otherwise check again later."""
        if len(self.connections) > MAX_UNCHECKED_CONNECTIONS and self._caller is None and self.is_idle:
            self.transport.abort()
            self.connections.discard(self)  # the timers of others that run now need not close more
        else:
            self._authentication_timer = self.loop.call_later(AUTHENTICATION_SECONDS, self._close_in_crowd)

    @property
    def _caller(self) -> Caller | None:
        """The authenticated caller of the last request that was complete enough to begin; None if there is none."""
        return self._running.scope["state"].get("caller") if self._running is not None else None

    @property
    def is_idle(self) -> bool:
        """True if the connection may be closed without loss.

        It has no request in progress and does not belong to a worker, or its client is unauthenticated and has not sent
        a complete request.
        """
        caller = self._caller
        if caller is None:
            return self._receive_deadline is not None or self._is_answered()
        return self._is_answered() and caller.role != "worker"

    def _check_deadline(self) -> None:
        self._receive_timer = None
        if self._receive_deadline is not None and self.loop.time() < self._receive_deadline:
            self._expect(self._receive_deadline)
        elif self._receive_deadline is not None:
            self._on_timeout()

    def _on_timeout(self) -> None:
        if self.flow.read_paused:  # backpressure: the server, not the client, is slow
            self._expect(self.loop.time() + REQUEST_TIMEOUT_SECONDS)
        else:
            self.transport.close()

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
