"""Opens connections to the server; the worker's token is not sent before the server is authenticated.

On the host of an embedded server a worker connects through a Unix socket, on which only its own user or root can
listen. Over TCP the server first proves that it knows this worker's token: after a crash another user may own its port.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import ssl
import struct
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

AUTHORITIES = "authorities.pem"
PROOF = "/api/v1/proof"
SILENT_SECONDS = 5
"""seconds without TCP acknowledgement before reconnecting: well below the lease time, so that another server can take
over
"""
_PROOF_SECONDS = 15.0  # cheap for the server, but its machine may be under load
_MAX_RESPONSE_BYTES = 4096  # the peer is not authenticated yet
_MAX_SOCKET_PATH_BYTES = 100  # the kernel limits the address of a Unix socket to little more


class ServerAddress(NamedTuple):
    """The server's address: a Unix socket's path if there is one, else `url`."""

    url: str
    socket: str = ""


class ServerNotProven(OSError):
    """The program at the server's address did not prove that it is this worker's server."""


def dial(address: ServerAddress, token: str) -> HTTPConnection:
    """Connect to the server of `token` without sending the token. The connection never reconnects by itself.

    Raises ServerNotProven if another program responds, OSError and HTTPException if the connection fails.
    """
    if address.socket:
        http = HTTPConnection("localhost", timeout=SILENT_SECONDS)
        http.sock = _connect_unix(address.socket)
    else:
        http = _connect_tcp(address.url, token)
    http.auto_open = 0  # http.client would reconnect without a proof
    return http


def trusted() -> ssl.SSLContext:
    """Return a TLS context that trusts this machine's CAs and those beside a worker.pyz, as an image may have none."""
    context = ssl.create_default_context()
    archive = Path(__file__).parents[3]
    authorities = archive.with_name(AUTHORITIES)
    if archive.is_file() and authorities.is_file():
        context.load_verify_locations(cafile=str(authorities))
    return context


def proof(token: str, nonce: str, address: str) -> str:
    """Return the proof that a server which knows `token` sends to a worker that dialled `address` (`host:port`)."""
    key = hashlib.sha256(token.encode()).digest()
    message = f"orchestune proof 1\n{nonce}\n{address}"
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()


def netloc(url: str) -> str:
    """Return `host:port` of a URL in lower case, with IPv6 in brackets and always with a port."""
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return "{}:{}".format(f"[{host}]" if ":" in host else host, port)


def _connect_tcp(url: str, token: str) -> HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    if parts.scheme == "https":
        http: HTTPConnection = HTTPSConnection(host, parts.port, timeout=SILENT_SECONDS, context=trusted())
    else:
        http = HTTPConnection(host, parts.port, timeout=SILENT_SECONDS)
    try:
        http.connect()
        _enable_keepalive(http.sock)
        # An untrusted peer could block this thread forever by sending its response byte by byte.
        timer = threading.Timer(_PROOF_SECONDS, _shut_down, (http.sock,))
        timer.daemon = True
        timer.start()
        try:
            _check_proof(http, url, token)
        finally:
            timer.cancel()
    except (OSError, HTTPException):
        http.close()
        raise
    return http


def _shut_down(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _check_proof(http: HTTPConnection, url: str, token: str) -> None:
    """Request a proof over a fresh nonce. Raises ServerNotProven if it is wrong.

    The address is part of the proof: otherwise a program at an old address could relay the request to the real server.
    """
    nonce, address = os.urandom(16).hex(), netloc(url)
    parts = token.split(".")
    worker, experiment = (parts[1], parts[2]) if len(parts) == 4 else ("", "")
    query = urlencode({"nonce": nonce, "address": address, "worker": worker, "experiment": experiment})
    http.sock.settimeout(_PROOF_SECONDS)
    http.request("GET", "{}{}?{}".format(urlsplit(url).path.rstrip("/"), PROOF, query))
    response = http.getresponse()
    answer = response.read(_MAX_RESPONSE_BYTES)
    expected = proof(token, nonce, address)
    if not response.isclosed() or not hmac.compare_digest(_proof_in(answer).encode(), expected.encode()):
        raise ServerNotProven(_not_proven_message(address, response.status))
    if http.sock is None:
        raise ServerNotProven(f"{address} closed the connection after one response (expected a keep-alive connection)")


def _proof_in(answer: bytes) -> str:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return ""
    return str(document.get("proof")) if isinstance(document, dict) else ""


def _not_proven_message(address: str, status: int) -> str:
    problem = f"did not prove that it is this worker's server (HTTP {status})"
    return f"the program at {address} {problem}; the token was not sent"


def _connect_unix(path: str) -> socket.socket:
    """Connect to a Unix socket. Raises ServerNotProven if another user listens there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = -1
    try:
        connection.settimeout(SILENT_SECONDS)
        if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
            folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
            connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        else:
            connection.connect(path)
        user = _peer_uid(connection)
        if user not in (os.geteuid(), 0):
            raise ServerNotProven(f"another user (uid {user}) listens at {path}; the token was not sent")
    except OSError:
        connection.close()
        raise
    finally:
        if folder >= 0:
            os.close(folder)
    return connection


def _peer_uid(connection: socket.socket) -> int:
    option = getattr(socket, "SO_PEERCRED", None)  # Linux only; elsewhere the folder's mode has to suffice
    if option is None:
        return os.geteuid()
    credentials = struct.Struct("3i")  # pid, uid, gid
    return int(credentials.unpack(connection.getsockopt(socket.SOL_SOCKET, option, credentials.size))[1])


def _enable_keepalive(sock: socket.socket) -> None:
    """Enable TCP keepalive and timeouts, to detect a machine that vanished while a response is pending."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": SILENT_SECONDS * 1000}
    for name, value in options.items():
        option = getattr(socket, name, None)  # missing on some systems
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
