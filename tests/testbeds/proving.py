"""The proof that a worker asks of a server before it shows its token, for servers of tests."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from orchestune.worker.connection.dialling import PROOF, proof
from tests.testbeds.serving import Handler


def prove(handler: Handler, token: str) -> bool:
    """Answer a request for a proof as the server of `token` does; False if the request is another one."""
    parts = urlsplit(handler.path)
    if parts.path != PROOF:
        return False
    query = parse_qs(parts.query)
    handler.send_json(200, {"proof": proof(token, query["nonce"][0], query["address"][0])})
    return True


def answer_to(request: bytes, token: str) -> bytes:
    """The whole answer to a request for a proof that came over a bare socket."""
    target = request.split(b" ", 2)[1].decode()
    query = parse_qs(urlsplit(target).query)
    body = json.dumps({"proof": proof(token, query["nonce"][0], query["address"][0])})
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
