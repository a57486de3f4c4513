"""The server's proof that it is the one which a worker's token is for, asked before the worker shows the token.

A port does not say who listens on it: once a server has crashed, any user of the machine may bind it. A worker that
dials TCP therefore sends a nonce first, without its token, and compares the answer with what it computes from its own
token; only a program that knows the server's key can answer. The dialled address is part of the proof, and the server
proves itself for its own addresses alone, so that a program on an old port cannot relay the question to the server.
A program that relays everything between a worker and the server at the server's own address is out of its reach: that
takes control of the network, against which TLS protects.

The answer depends on nothing but the question and the key: it costs two HMACs, and says not which workers exist.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from orchestune import documents
from orchestune.errors import Denied
from orchestune.server import routers
from orchestune.server.addresses import netloc
from orchestune.server.answers import answer
from orchestune.server.parameters import Here
from orchestune.services.signatures import proof

router = routers.of_trials("/proof", "workers")

_Nonce = Annotated[str, Query(pattern="^[0-9a-f]{32,128}$")]
_Id = Annotated[str, Query(pattern="^[0-9A-Za-z-]{0,64}$")]
_Address = Annotated[str, Query(max_length=300)]


@router.get("", response_model=documents.Proof)
async def prove(context: Here, nonce: _Nonce, address: _Address, worker: _Id = "", experiment: _Id = "") -> Response:
    """Return the proof for a worker that dialled `address` (`host:port`)."""
    if address not in context.addresses and address != netloc(context.core.url):
        raise Denied(
            f"cannot prove that this server is at {address!r}", "set public_url to the address that workers use"
        )
    return answer({"proof": proof(context.core, worker, experiment, nonce, address)})
