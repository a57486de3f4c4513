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

import re
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Query, Response

from orchestune import documents
from orchestune.errors import Denied
from orchestune.server import routers
from orchestune.server.addresses import netloc
from orchestune.server.answers import answer
from orchestune.server.context import Context
from orchestune.server.parameters import RequestContext
from orchestune.services.signatures import proof

router = routers.of_trials("/proof", "workers")

PATH = f"{routers.V1}/proof"
_NONCE, _ID = "^[0-9a-f]{32,128}$", "^[0-9A-Za-z-]{0,64}$"
_Nonce = Annotated[str, Query(pattern=_NONCE)]
_Id = Annotated[str, Query(pattern=_ID)]
_MAX_ADDRESS = 300
_Address = Annotated[str, Query(max_length=_MAX_ADDRESS)]


@router.get("", response_model=documents.Proof)
async def prove(
    context: RequestContext, nonce: _Nonce, address: _Address, worker: _Id = "", experiment: _Id = ""
) -> Response:
    """Return the proof for a worker that dialled `address` (`host:port`)."""
    return _proof(context, nonce, address, worker, experiment)


def quick_proof(context: Context, query: bytes) -> Response | None:
    """Return the proof, as `prove` does; None for another query than workers send, whose problems `prove` names."""
    try:
        sent = parse_qs(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=4)
        [nonce], [address], [worker], [experiment] = (
            sent[name] for name in ("nonce", "address", "worker", "experiment")
        )
    except (KeyError, ValueError):
        return None
    if not re.fullmatch(_NONCE, nonce) or len(address) > _MAX_ADDRESS:
        return None
    if not re.fullmatch(_ID, worker) or not re.fullmatch(_ID, experiment):
        return None
    return _proof(context, nonce, address, worker, experiment)


def _proof(context: Context, nonce: str, address: str, worker: str, experiment: str) -> Response:
    if address not in context.addresses and address != netloc(context.core.url):
        raise Denied(
            f"cannot prove that this server is at {address!r}", "set public_url to the address that workers use"
        )
    return answer({"proof": proof(context.core, worker, experiment, nonce, address)})
