"""One connection of a client, which may be slow, silent or hostile: whatever uvicorn waits for has an end here."""

from __future__ import annotations

import resource
from asyncio import Task, TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from orchestune.server.peers import FOR_WORKERS, OF_ONE_USER, STATE, Peer

ASKING = 30.0
"""seconds from the first byte of a request to the end of its headers, and from each part of its body to the next one"""
SLOWEST = 1024
"""bytes of a body that come in a second at least, on average"""
TAKING = 300.0
"""seconds in which a client has to take something of what is sent to it"""
LARGEST = 1 << 16
"""bytes of headers, or of whatever else is no body"""
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
    _check: Task[None] | None = None
    """of the user at the other end, while many connections are open"""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        for_workers = bool(self.app_state.get(FOR_WORKERS))
        peer = Peer(transport, for_workers=for_workers)
        self.app_state = {**self.app_state, STATE: peer}
        self._expect(self.loop.time() + ASKING)
        if self.app_state.get(OF_ONE_USER) and not peer.is_unix and len(self.connections) > UNCHECKED:
            self._spare_descriptors(peer, for_workers=for_workers)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        silent = self.timeout_keep_alive_task
        self._aside += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._aside > LARGEST:
            self._refuse()
        elif silent is not None and self._due is None and self._answered():  # it was no request: the time goes on
            self.timeout_keep_alive_task = self.loop.call_at(silent.when(), self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect(self.loop.time() + ASKING)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
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

    def _expect(self, when: float | None) -> None:
        """Go on with the request until then; None: nothing of one is awaited."""
        if self._due is not None:
            self._due.cancel()
        self._due = None if when is None else self.loop.call_at(when, self._late)

    def _spare_descriptors(self, peer: Peer, *, for_workers: bool) -> None:
        """Close the connection if it is another user's, or one of too many at the address for workers, where users are
        not known. Without free descriptors the server could not accept its own user's at the Unix socket either.
        """
        if not for_workers:
            self._check = self.loop.create_task(self._refuse_other_users(peer))
        elif len(self.connections) > resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2:
            self.transport.abort()

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

    def _refuse(self) -> None:
        if self._answered():
            self.send_400_response(f"The headers have more than {LARGEST} bytes.")
        else:
            self.transport.abort()
