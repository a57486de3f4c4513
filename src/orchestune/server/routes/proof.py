"""The server's proof that it issued a worker's token, which the worker requests before it sends the token.

A port does not authenticate its listener: after a crash, any user of the machine may bind it. So a worker that connects
by TCP first sends a nonce without its token, and compares the response with the one that it computes from its token;
only a program that knows the server's key can compute it, too. The dialled address is part of the proof, and the server
proves itself for its own addresses only, so that a program on an old port cannot relay the request to the server. It
does not protect against a program that relays everything at the server's own address: that requires control of the
network, against which TLS protects.

The response depends only on the request and the key: it costs two HMACs and does not reveal which workers exist.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.errors import Denied
from orchestune.server import routers
from orchestune.server.addresses import netloc
from orchestune.server.answers import answer
from orchestune.server.parameters import RequestContext
from orchestune.services.signatures import proof

router = routers.of_trials("/proof", "workers")

_Nonce = Annotated[str, Query(pattern="^[0-9a-f]{32,128}$")]
_Id = Annotated[str, Query(pattern="^[0-9A-Za-z-]{0,64}$")]
_Address = Annotated[str, Query(max_length=300)]


@router.get("", response_model=documents.Proof)
async def prove(
    context: RequestContext, nonce: _Nonce, address: _Address, worker: _Id = "", experiment: _Id = ""
) -> Response:
    """Return the proof for a worker that dialled `address` (`host:port`)."""
    if address not in context.addresses and address != netloc(context.core.url):
        raise Denied(
            f"cannot prove that this server is at {address!r}", "set public_url to the address that workers use"
        )
    return answer({"proof": proof(context.core, worker, experiment, nonce, address)})
