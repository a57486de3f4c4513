"""One connection of a client, which may be slow, silent or hostile: whatever uvicorn waits for has an end here."""

from __future__ import annotations

import resource
from asyncio import Task, TimerHandle, Transport
from collections import defaultdict

from httptools import HttpParserError
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from orchestune.server.caller_address import throttle_key
from orchestune.server.peers import FOR_WORKERS, OF_ONE_USER, STATE, Peer
from orchestune.services.core import Caller

ASKING = 30.0
"""seconds from the first byte of a request to the end of its headers, and from each part of its body to the next one"""
SLOWEST = 1024
"""bytes of a body that come in a second at least, on average"""
TAKING = 300.0
"""seconds in which a client has to take something of what is sent to it"""
LARGEST = 1 << 16
"""bytes of headers, or of whatever else is no body"""
_AROUND_HEADER = len(b": \r\n")
_TOO_LARGE = f"The headers have more than {LARGEST} bytes."
UNCHECKED = 128
"""connections of an embedded server up to which other users may hold some that have not asked for anything"""


class Connection(HttpToolsProtocol):
    """uvicorn closes one that is silent after an answer, and no other: not who never asks, who sends a request byte by
    byte or without an end, nor who takes nothing of an answer.
    """

    _due: TimerHandle | None = None
    """when what is being received of a request has to have come"""
    _stuck: TimerHandle | None = None
    """when something of an answer has to have been taken"""
    _aside = 0
    """bytes that came since there was a body"""
    _began = 0.0
    """when the connection was accepted"""
    _head = 0
    """bytes of the headers, or of the trailers, that are being received"""
    _running: RequestResponseCycle | None = None
    """the request that is being answered, which may have others behind it"""
    _check: Task[None] | None = None
    """of the user at the other end, while many connections are open"""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        for_workers = bool(self.app_state.get(FOR_WORKERS))
        peer = Peer(transport, for_workers=for_workers)
        self.app_state = {**self.app_state, STATE: peer}
        self._expect(self.loop.time() + ASKING)
        self._began = self.loop.time()
        checks_users = self.app_state.get(OF_ONE_USER) and not for_workers and not peer.is_unix
        if checks_users and len(self.connections) > UNCHECKED:
            self._check = self.loop.create_task(self._refuse_other_users(peer))
        if self._are_many() and not peer.is_unix:
            self._make_room()
            if for_workers and self._are_many():
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            # uvicorn says so to the request that came last alone: an earlier one would write to a closed connection
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        silent = self.timeout_keep_alive_task
        self._aside += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._aside > LARGEST:
            self.send_400_response(_TOO_LARGE)
        elif silent is not None and self._due is None and self._answered():  # it was no request: the time goes on
            self.timeout_keep_alive_task = self.loop.call_at(silent.when(), self.timeout_keep_alive_handler)

    def send_400_response(self, msg: str) -> None:
        if self._answered():
            super().send_400_response(msg)
        else:  # what has been sent of the answer in progress would go on with this one
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        self._expect(self.loop.time() + ASKING)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + _AROUND_HEADER)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = 0
        self._expect(self.loop.time() + ASKING)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._aside = 0
        if self._due is not None:
            self._expect(min(self._due.when() + len(body) / SLOWEST, self.loop.time() + ASKING))

    def on_message_complete(self) -> None:
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

    def _count(self, size: int) -> None:
        """Count bytes of headers. Those that came in one segment are parsed before `_aside` is looked at."""
        self._head += size
        if self._head > LARGEST:
            raise HttpParserError(_TOO_LARGE)

    def _expect(self, when: float | None) -> None:
        """Go on with the request until then; None: nothing of one is awaited."""
        if self._due is not None:
            self._due.cancel()
        self._due = None if when is None else self.loop.call_at(when, self._late)

    def _are_many(self) -> bool:
        """Return True if connections occupy half of the descriptors. Without free ones the server could neither open
        files nor accept connections, not even of its own user.
        """
        return len(self.connections) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2

    def _make_room(self) -> None:
        """Close the older half of the idle connections of the address that has most of them.

        One at a time would cost a look at all of them for each new connection.
        """
        idle: defaultdict[str, list[Connection]] = defaultdict(list)
        for other in self.connections:
            if isinstance(other, Connection) and other is not self and other.is_idle and other.client is not None:
                idle[throttle_key(other.client[0])].append(other)
        most = max(idle.values(), key=lambda connections: len(connections), default=[])
        most.sort(key=lambda connection: connection._began)
        for connection in most[: (len(most) + 1) // 2]:
            connection.transport.abort()
            self.connections.discard(connection)

    @property
    def is_idle(self) -> bool:
        """Return True if the connection may be closed without loss: it has no request in progress and is no worker's,
        or its client is unknown and has not sent all of a request.
        """
        caller: Caller | None = self._running.scope["state"].get("caller") if self._running is not None else None
        if caller is None:
            return self._due is not None or self._answered()
        return self._answered() and caller.role != "worker"

    async def _refuse_other_users(self, peer: Peer) -> None:
        if not await peer.is_owner():
            self.transport.abort()

    def _late(self) -> None:
        if self.flow.read_paused:  # it is we who are slow
            self._expect(self.loop.time() + ASKING)
        else:
            self.transport.close()

    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)
