"""The `register` call, which a worker makes at its start and after each restart of the server."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from orchestune.wire.decoding import INT32, NO_NUL, Id, decoded

PROTOCOL = 2  # version of this server; `worker/__init__.py` has that of workers
ACCEPTED = (PROTOCOL - 1, PROTOCOL)  # workers of the previous version finish their attempts and shut down


class Registration(Struct, frozen=True, kw_only=True):
    """A worker's process. `boot` is unique per process; `node` is the displayed name of its machine."""

    protocol: Annotated[int, Meta(ge=0, le=INT32)]
    boot: Id
    version: Id = ""
    node: Annotated[str, Meta(max_length=255, pattern=NO_NUL)] = ""
    capabilities: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()


_DECODER = msgspec.json.Decoder(Registration)


def decode(body: bytes) -> Registration:
    """Decode a registration. Raises InvalidCall if it is malformed."""
    return decoded(_DECODER, body)
