"""Images in which workers run on a test cluster, and the server on this host that they talk to."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from orchestune.images.runtime.private_python import build_runtime
from tests.testbeds.images import Image
from tests.testbeds.registry import Registry
from tests.testbeds.roots import busybox_root, python_root

RUNTIME = "opt/orchestune/runtime"


@dataclass(frozen=True)
class Images:
    """References of images in the test's registry."""

    runtime: str
    """holds the private Python, as the server's image does"""
    busybox: str
    """no Python; the user is nobody"""
    python: str


def push_images(registry: Registry, scratch: Path) -> Images:
    """Make them and put them into the registry; what is there already is not sent again."""
    layer = scratch / "runtime.tar"
    folder = build_runtime(scratch / "runtime")
    with tarfile.open(layer, "w") as archive:
        archive.add(folder, RUNTIME, filter=_owned_by_root)
    return Images(
        registry.push("tests/runtime:1", Image(layer)),
        registry.push("tests/busybox:1", Image(busybox_root(), command=["sh"], user="65534")),
        registry.push("tests/python:1", Image(python_root(), command=["python3"])),
    )


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
