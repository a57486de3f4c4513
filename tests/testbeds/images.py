"""Container images without any image tool: a root file system in a tar file becomes an image of one layer."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.testbeds.machine import SYSTEM_PATH

CHUNK = 1 << 20
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class Image:
    """A root file system (`layer`, an uncompressed tar) and how it is started."""

    layer: Path
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""
    folder: str = ""
    env: Sequence[str] = (f"PATH={SYSTEM_PATH}",)
    architecture: str = "amd64"
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def layer_digest(self) -> str:
        """`sha256:…` of the layer."""
        return file_digest(self.layer)

    def config(self) -> bytes:
        """The image's configuration document, whose digest is the image's id."""
        started: dict[str, Any] = {"Env": list(self.env)}
        settings = {
            "Entrypoint": list(self.entrypoint), "Cmd": list(self.command), "User": self.user,
            "WorkingDir": self.folder, "Labels": self.labels,
        }  # fmt: skip
        started |= {name: value for name, value in settings.items() if value}
        root = {"type": "layers", "diff_ids": [self.layer_digest]}
        document = {"architecture": self.architecture, "os": "linux", "config": started, "rootfs": root}
        return json.dumps(document, sort_keys=True).encode()

    def manifest(self) -> bytes:
        """Return the manifest that a registry stores under the image's tag."""
        config = self.config()
        parts = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config), "digest": digest(config)},
            "layers": [{"mediaType": LAYER, "size": self.layer.stat().st_size, "digest": self.layer_digest}],
        }  # fmt: skip
        return json.dumps(parts).encode()

    def archive(self, name: str, file: Path) -> Path:
        """Write the image as a file for `ctr images import` and `docker load`, to be known there as `name`."""
        listed = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(file, "w") as archive:
            add(archive, "manifest.json", json.dumps(listed).encode())
            add(archive, "config.json", self.config())
            archive.add(self.layer, "layer.tar")
        return file


def digest(content: bytes) -> str:
    """`sha256:…` of a document."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def file_digest(file: Path) -> str:
    """`sha256:…` of a file."""
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Put a file into a tar."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))


def root_with(file: Path, programs: dict[str, Path], folders: Sequence[str] = ()) -> Path:
    """A root file system that holds these programs (path in the image: file here) and empty folders, nothing else."""
    with tarfile.open(file, "w") as archive:
        for name in folders:
            entry = tarfile.TarInfo(name.strip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name.strip("/") == "tmp" else 0o755
            archive.addfile(entry)
        for name, program in programs.items():
            add(archive, name.lstrip("/"), program.read_bytes(), 0o755)
    return file
