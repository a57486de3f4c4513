"""The stream of events of a watch."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from orchestune.errors import TemporaryError, Unreachable
from orchestune.kubeapi.errors import ApiCaller, refusal

if TYPE_CHECKING:
    import urllib3  # imported on demand: takes a tenth of a second

_MAX_EVENT_BYTES = 16 * 2**20
"""of one event: ten times the largest object that etcd stores by default"""


class WatchStream:
    """The events of one watch request."""

    def __init__(self, response: urllib3.BaseHTTPResponse, caller: ApiCaller) -> None:
        self._response, self._caller = response, caller

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (`ADDED` | `MODIFIED` | `DELETED` | `BOOKMARK`, object) until the watch times out.

        Raises like `ApiServer.call`.
        """
        from urllib3.exceptions import HTTPError

        try:
            for line in split_lines(self._response.stream()):
                if not line.strip():
                    continue
                event = json.loads(line.decode("utf-8", "replace"))
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise refusal(int(status.get("code") or 500), json.dumps(status), self._caller)
                yield event["type"], event["object"]
        except (HTTPError, OSError) as exc:
            raise Unreachable(f"the cluster's API server hung up: {exc}") from exc
        except ValueError as exc:
            raise TemporaryError(f"the cluster's API server sent an invalid event: {exc}") from exc
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


def split_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the complete lines of a stream, however it is cut into blocks.

    An incomplete last one is dropped: the next watch starts before it. Raises ValueError if a line does not end.
    """
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        *line_ends, rest = block.split(b"\n")
        for line_end in line_ends:
            yield b"".join([*parts, line_end])
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > _MAX_EVENT_BYTES:
            raise ValueError(f"it has more than {_MAX_EVENT_BYTES >> 20} MiB")
