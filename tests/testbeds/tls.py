"""TLS for servers of tests on the loopback address."""

from __future__ import annotations

import base64
import ssl
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.testbeds.kubernetes.pki import Authority
from tests.testbeds.serving import Listening


class Identity:
    """A certificate for 127.0.0.1, and the authority that signed it."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="test-identity-")
        authority = Authority.create(Path(self._folder.name) / "pki")
        authority.issue("server", "server", hosts=["127.0.0.1"])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.folder / "server.crt", authority.folder / "server.key")
        self.authority = base64.b64encode((authority.folder / "ca.crt").read_bytes()).decode()
        """PEM in base64, as `certificate-authority-data` of a kubeconfig"""


identity = cache(Identity)


def add_tls(server: Listening) -> dict[str, str]:
    """Let the server speak TLS; return the cluster of a kubeconfig that leads to it.

    The handshake is made by the thread of the connection, so that a slow one does not delay the others.
    """
    server.socket = identity().context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = server.url.replace("http://", "https://")
    return {"server": server.url, "certificate-authority-data": identity().authority}
