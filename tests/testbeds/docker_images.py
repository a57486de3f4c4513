"""The images of the tests in a Docker daemon: one for each way in which an image may lack what a program expects."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import docker.errors

from tests.testbeds.docker import Engine
from tests.testbeds.images import Image
from tests.testbeds.roots import busybox_root, musl_root, python_root, static_root

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    double x = count > 1 ? atof(words[1]) : 0;
    printf("user %d\nloss=%g\n", (int)getuid(), (x - 0.3) * (x - 0.3));
    return 0;
}
"""


def python(user: str = "") -> Image:
    """Debian with python3."""
    return Image(python_root(), user=user)


def busybox(user: str = "65534:65534", env: Mapping[str, str] | None = None) -> Image:
    """A shell and small tools; no Python, no users. By default it names a user that it does not know."""
    variables = [f"{name}={value}" for name, value in {"PATH": "/bin", **(env or {})}.items()]
    return Image(busybox_root(), user=user, env=variables)


def musl() -> Image:
    """As on Alpine; the program is dynamically linked with musl."""
    return Image(musl_root(PROGRAM), env=["PATH=/bin"])


def static() -> Image:
    """One program and nothing else."""
    return Image(static_root(PROGRAM), entrypoint=["/program"], user="1234")


def load(engine: Engine, name: str, image: Image) -> str:
    """Have the engine know the image as `name`, unless it does."""
    with engine.client() as client:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            engine.load(name, image)
    return name


def with_file(root: Path, target: Path, name: str, content: bytes) -> Path:
    """A root file system with one file more."""
    target.write_bytes(root.read_bytes())
    with tarfile.open(target, "a") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        archive.addfile(entry, io.BytesIO(content))
    return target
