"""The server's image for registries of this run: made once, whichever of its processes is first to need it."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from orchestune.images.registries.manifests import Manifest
from orchestune.images.registries.reference import Reference
from orchestune.images.registries.registry import Registry, open_registry
from orchestune.images.registries.upload import push_blob
from orchestune.images.runtime.server_image import push_server_image

REPOSITORY = "testbed/server"
_MANIFEST = "manifest.json"


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run have in common, and no other run."""
    mine = factory.getbasetemp()
    folder = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "server-image"
    folder.mkdir(exist_ok=True)
    return folder


def server_image_in(address: str, shared: Path) -> str:
    """Bring it into the registry at an address; its reference by digest."""
    with (shared / "lock").open("w") as lock, open_registry(address) as registry:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / _MANIFEST).exists():
            image = push_server_image(registry, REPOSITORY)
            _keep(registry, str(image.digest), shared)
            return str(image)
    with open_registry(address) as registry:
        return _push(registry, shared)


def _keep(registry: Registry, digest: str, shared: Path) -> None:
    manifest = registry.manifest(REPOSITORY, digest)
    for blob in _blobs(manifest):
        with (shared / blob).open("wb") as file:
            file.writelines(registry.blob(REPOSITORY, blob))
    (shared / _MANIFEST).write_text(json.dumps([manifest.media_type, manifest.body.decode()]))


def _push(registry: Registry, shared: Path) -> str:
    media_type, body = json.loads((shared / _MANIFEST).read_text())
    manifest = Manifest(media_type, body.encode())
    for blob in _blobs(manifest):
        push_blob(registry, REPOSITORY, blob, shared / blob)
    return str(Reference(registry.name, REPOSITORY, None, registry.put_manifest(REPOSITORY, manifest.digest, manifest)))


def _blobs(manifest: Manifest) -> list[str]:
    document = manifest.document
    return [str(document["config"]["digest"]), *(str(layer["digest"]) for layer in document["layers"])]
