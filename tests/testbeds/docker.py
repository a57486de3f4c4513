"""A private Docker Engine: Debian's dockerd with its own folders and socket, beside what else runs on this machine.

    with docker_engine() as engine: engine.client() as client: ...

Its containers have the network of the host or none (`--network host | none`), or one of a network that a test makes: no
bridge and no packet filter of the host is touched. `ORCHESTUNE_TEST_DOCKER` names an engine that exists already; it is
used as it is.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker

from tests.testbeds import cgroups
from tests.testbeds.images import Image
from tests.testbeds.machine import Broken, Machine
from tests.testbeds.owned import owned_folder
from tests.testbeds.waiting import until

KIND = "engines"
PROGRAM = "dockerd"


class Engine:
    """A Docker Engine in a folder, or an existing one at `url`."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.folder = folder
        self.foreign = url is not None
        self.url = url or f"unix://{folder}/docker.sock"
        self.machine = Machine(folder / "machine", "engine", network=False)

    @property
    def cgroup(self) -> str:
        """The control group above all of its containers."""
        return f"orchestune-docker-{self.folder.name}"

    def up(self) -> None:
        """Start from nothing. Broken says what is missing."""
        for program in (PROGRAM, "runc", "containerd"):
            if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
                raise Broken(f"a Docker Engine takes {program}: apt-get install docker.io")
        if os.geteuid() != 0:
            raise Broken("a Docker Engine of one's own takes root; or name one in ORCHESTUNE_TEST_DOCKER")
        self.machine.on()
        (self.folder / "daemon.json").write_text("{}")
        self.start()

    def start(self) -> None:
        """Start the daemon, with the images and containers it had before `stop`."""
        command = [
            PROGRAM, f"--config-file={self.folder}/daemon.json", f"--host={self.url}",
            f"--data-root={self.folder}/data", f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/docker.pid",
            f"--cgroup-parent=/{self.cgroup}",
            "--exec-opt=native.cgroupdriver=cgroupfs", "--bridge=none", "--iptables=false", "--ip6tables=false",
            "--ip-forward=false",
        ]  # fmt: skip
        (self.folder / "docker.pid").unlink(missing_ok=True)
        self.machine.start(PROGRAM, command)
        until("dockerd", self.answers, describe=lambda: self.machine.tail(PROGRAM))

    def answers(self) -> bool:
        """Return True if the daemon answers."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self.url.removeprefix("unix://"))
            except OSError:
                return False
        return True

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """The official library's client."""
        with closing(docker.DockerClient(self.url, timeout=120)) as client:
            yield client

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon; containers end with it, except when it is killed."""
        self.machine.stop(PROGRAM, number)

    def load(self, name: str, image: Image) -> str:
        """Put an image into the engine under its name; returns the name."""
        file = image.archive(name, self.folder / "load.tar")
        with self.client() as client, file.open("rb") as archive:
            client.images.load(archive)
        file.unlink()
        return name

    def down(self) -> None:
        """End everything and remove the folder. Idempotent."""
        self.machine.off()
        cgroups.remove(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


def down(folder: Path) -> None:
    """Take down the engine in a folder."""
    Engine(folder).down()


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """An engine of this process; nothing of it is left when the block, or the process, ends."""
    existing = os.environ.get("ORCHESTUNE_TEST_DOCKER")
    with owned_folder(KIND, __name__) as folder:
        engine = Engine(folder, existing)
        if not existing:
            engine.up()
        yield engine
