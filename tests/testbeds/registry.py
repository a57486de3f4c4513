"""A private image registry on a free loopback port: Debian's docker-registry, its images in a folder of its own.

    with image_registry() as registry: registry.push("demo:1", image); registry.address   # 127.0.0.1:PORT

`ORCHESTUNE_TEST_REGISTRY` names one that exists already; it is used as it is.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tests.testbeds.images import MANIFEST, Image, digest
from tests.testbeds.machine import Broken
from tests.testbeds.owned import owned_folder
from tests.testbeds.ports import free_port
from tests.testbeds.processes import Process
from tests.testbeds.waiting import until

KIND = "registries"
NAME = "docker-registry"


class Registry:
    """A registry whose images lie in `folder`; it answers at `address` on this host, and where `listen` adds."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.folder = folder
        self.address = address or f"127.0.0.1:{free_port()}"
        self.foreign = address is not None
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._secured: list[subprocess.Popen[bytes]] = []

    @property
    def port(self) -> int:
        """Its port, the same at each address."""
        return int(self.address.rpartition(":")[2])

    def start(self) -> None:
        """Answer at `address`, after `stop` at the same one as before."""
        for host in {"127.0.0.1", *self._running}:
            self.listen(host)

    def listen(self, host: str) -> str:
        """Answer at this address of the host too (a process more on the same images); returns host:port."""
        address = f"{host}:{self.port}"
        if self.foreign or (host in self._running and self._running[host].poll() is None):
            return address
        self._running[host] = self._serve(host, {"addr": address})
        until(f"the registry at {address}", lambda: self._answers(host))
        return address

    def secure(self, host: str, certificate: Path, key: Path) -> str:
        """Answer with TLS too, at this address of the host until it is stopped; returns host:port."""
        address = f"{host}:{free_port(host)}"
        name = f"tls-{address.replace(':', '-')}"
        tls = {"certificate": str(certificate), "key": str(key)}
        process = self._serve(name, {"addr": address, "tls": tls})
        self._secured.append(process)

        def reached() -> bool:
            if process.poll() is not None:
                raise Broken(f"docker-registry ended:\n{(self.folder / f'{name}.log').read_text(errors='replace')}")
            with socket.socket() as probe:
                return probe.connect_ex((host, int(address.rpartition(":")[2]))) == 0

        until(f"the registry at {address}", reached)
        return address

    def _serve(self, name: str, http: dict[str, object]) -> subprocess.Popen[bytes]:
        """A process more on the same images."""
        if not shutil.which(NAME):
            raise Broken("an image registry takes docker-registry: apt-get install docker-registry")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / f"{name}.json"  # JSON is YAML
        settings = {
            "version": 0.1, "log": {"level": "warn"}, "http": {**http, "secret": "one for all addresses"},
            "storage": {"filesystem": {"rootdirectory": f"{self.folder}/images"}, "delete": {"enabled": True}},
        }  # fmt: skip
        config.write_text(json.dumps(settings))
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [NAME, "serve", str(config)]
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        Process.of(process.pid).save(self.folder / f"{name}.pid")
        return process

    def _answers(self, host: str) -> bool:
        if self._running[host].poll() is not None:
            raise Broken(f"docker-registry ended:\n{(self.folder / f'{host}.log').read_text(errors='replace')}")
        try:
            connection = http.client.HTTPConnection(host, self.port, timeout=5)
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End it; its images stay. Idempotent, and works for a registry that another process started."""
        for file in self.folder.glob("*.pid"):
            process = Process.load(file)
            if process is not None:
                process.end(signal.SIGTERM)
            file.unlink(missing_ok=True)
        for child in (*self._running.values(), *self._secured):
            child.wait()

    def push(self, name: str, image: Image) -> str:
        """Store an image as `name` (repository:tag); returns what nodes pull, `host:port/repository@sha256:…`."""
        repository, _, tag = name.rpartition(":")
        config, manifest = image.config(), image.manifest()
        with image.layer.open("rb") as layer:
            self._blob(repository, layer, image.layer_digest, image.layer.stat().st_size)
        self._blob(repository, config, digest(config), len(config))
        self._send("PUT", f"/v2/{repository}/manifests/{tag}", 201, manifest, {"Content-Type": MANIFEST})
        return f"{self.address}/{repository}@{digest(manifest)}"

    def _blob(self, repository: str, content: bytes | BinaryIO, its_digest: str, size: int) -> None:
        if self._status("HEAD", f"/v2/{repository}/blobs/{its_digest}") == 200:
            return
        place = urlsplit(self._send("POST", f"/v2/{repository}/blobs/uploads/", 202)["Location"])
        query = f"{place.query}&digest={its_digest}".lstrip("&")
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._send("PUT", f"{place.path}?{query}", 201, content, headers)

    def _status(self, method: str, path: str) -> int:
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path)
            return connection.getresponse().status
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, expected: int, body: bytes | BinaryIO = b"", headers: dict[str, str] | None = None
    ) -> http.client.HTTPMessage:
        connection = http.client.HTTPConnection(self.address, timeout=120)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            answer_body = answer.read()
            if answer.status != expected:
                raise Broken(f"{method} {path}: {answer.status}, not {expected}: {answer_body[:500]!r}")
            return answer.headers
        finally:
            connection.close()


def down(folder: Path) -> None:
    """End the registry in a folder and remove its images."""
    Registry(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def image_registry() -> Iterator[Registry]:
    """A running registry; it and its images are gone when the block ends. Broken says what is missing."""
    existing = os.environ.get("ORCHESTUNE_TEST_REGISTRY")
    with owned_folder(KIND, __name__) as folder:
        registry = Registry(folder, existing)
        if not existing:
            registry.start()
        try:
            yield registry
        finally:
            registry.stop()
