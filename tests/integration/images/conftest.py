"""A registry for images, and programs that run them."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.testbeds.ports import free_port
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
    """Return the address of the registry."""
    return registry.address
