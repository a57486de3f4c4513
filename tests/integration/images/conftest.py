"""Where images go, and what runs them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.testbeds.postgres import free_port
from tests.testbeds.registry import Registry

CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
{more}
"""


def serve(folder: Path, more: str = "") -> tuple[str, subprocess.Popen[bytes]]:
    """Start a registry with settings of its own; its address and its process."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    assert program, "install it: apt-get install docker-registry"
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder, port=port, more=more))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return f"127.0.0.1:{port}", process
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)


@pytest.fixture(scope="session")
def address(registry: Registry) -> str:
    """Where the registry answers."""
    return registry.address


@pytest.fixture(scope="session")
def docker_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Docker Engine with nothing in it. Its containers have the host's network or none."""
    folder = Path(tempfile.mkdtemp(prefix="od-", dir="/tmp"))  # the path of a socket is short
    url = f"unix://{folder}/s"
    command = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "-H", url]
    command += ["-p", str(folder / "pid"), "--bridge=none", "--iptables=false", "--ip-forward=false"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        client = _connected(url, process, folder / "log")
        yield url
        for container in client.containers.list(all=True):
            container.remove(force=True)
        client.close()
    finally:
        process.terminate()
        process.wait(60)
        subprocess.run(["umount", str(folder / "exec/netns/default")], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def _connected(url: str, process: subprocess.Popen[bytes], log: Path) -> docker.DockerClient:
    deadline = time.monotonic() + 120
    while True:
        with socket.socket(socket.AF_UNIX) as probe:  # a client of docker's that finds nobody leaves its socket open
            try:
                probe.connect(url.removeprefix("unix://"))
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
    return docker.DockerClient(base_url=url, timeout=120)
