"""The `register` call: a worker introduces itself, at its start and after each restart of either side."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from orchestune.wire.decoding import INT32, NO_NUL, Id, decoded

PROTOCOL = 2  # the version that this server speaks; workers say theirs in `worker/loop.py`
ACCEPTED = (PROTOCOL - 1, PROTOCOL)  # workers of the version before finish what they run and end


class Registration(Struct, frozen=True, kw_only=True):
    """A worker's process. `boot` is new with each process, `node` is the name of its machine in listings."""

    protocol: Annotated[int, Meta(ge=0, le=INT32)]
    boot: Id
    version: Id = ""
    node: Annotated[str, Meta(max_length=255, pattern=NO_NUL)] = ""
    capabilities: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()


_DECODER = msgspec.json.Decoder(Registration)


def decode(body: bytes) -> Registration:
    """Return the call. Raises InvalidCall if it does not fit."""
    return decoded(_DECODER, body)
