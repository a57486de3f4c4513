"""Server-sent events that resume after disconnections, restarts of the server and changes of its address."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

from orchestune.client.connection.transport import Transport
from orchestune.errors import TemporaryError, Unreachable

_JITTER = random.Random()  # a separate generator: the global one belongs to the user's program and to tests

SILENCE = 15.0
"""read timeout in seconds; the server sends a comment every 10 s"""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream; a later stream can resume after `id`."""

    id: str
    kind: str
    data: str

    def json(self) -> Any:
        """Parse the data as JSON."""
        return json.loads(self.data)


def follow(
    transport: Transport,
    path: str,
    after: str = "",
    on_away: Callable[[TemporaryError], None] = lambda error: None,
    retry_seconds: float = 600.0,
) -> Iterator[ServerSentEvent]:
    """Yield every event once and in order, until the server sends `end`.

    The stream needs a `transport` of its own. `on_away` is called for each lost connection. Raises a TemporaryError if
    no server, or none with its store, answered for `retry_seconds`, and other errors such as NotFound immediately.
    """
    waited, delay = 0.0, 0.1
    error: TemporaryError
    while True:
        heard = False
        try:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if after:
                headers["Last-Event-ID"] = after
            response = transport.open(path, headers)
            for event in _events(response):
                heard = True
                if event.kind == "end":
                    return
                after = event.id or after
                yield event
            error = Unreachable("the stream broke off")
        except (HTTPException, OSError) as exc:
            error = Unreachable(f"the stream broke off: {exc}")
        except TemporaryError as exc:
            error = exc
        finally:
            transport.close()
        if heard:
            waited, delay = 0.0, 0.1
        if waited >= retry_seconds:
            raise error
        on_away(error)
        pause = delay * _JITTER.uniform(0.5, 1.0)
        transport.pause(pause)
        waited, delay = waited + pause + transport.retry_seconds, min(delay * 2, 3.0)


def _events(response: HTTPResponse) -> Iterator[ServerSentEvent]:
    rest = b""
    id_, kind, data = "", "message", list[str]()
    while block := response.read1(65536):
        *lines, rest = (rest + block).split(b"\n")
        for raw in lines:
            line = raw.rstrip(b"\r").decode("utf-8", "replace")
            if not line:
                if data or kind != "message":
                    yield ServerSentEvent(id_, kind, "\n".join(data))
                kind, data = "message", []
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                id_ = value
            elif name == "event":
                kind = value
            elif name == "data":
                data.append(value)
