"""A tiny image of a few hundred bytes, which tests that images can be pushed to and pulled from a registry."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from orchestune.images.registries.manifests import OCI_INDEX, Manifest, Platform, sha256
from orchestune.images.registries.reference import PushTarget, Reference
from orchestune.images.registries.registry import Registry
from orchestune.images.registries.upload import push_blob
from orchestune.images.runtime import layer
from orchestune.images.runtime.layer import LayerEntry
from orchestune.images.runtime.server_image import compose

NAME, TAG = "orchestune/test", "sample"
PLATFORMS = tuple(Platform(architecture) for architecture in ("amd64", "arm64", "ppc64le", "riscv64", "s390x"))
"""contains no program, so it is the same for all platforms"""


def push_sample(registry: Registry, place: PushTarget) -> str:
    """Push the image and return its reference by digest. Idempotent: always the same image."""
    repository = place.repository(NAME)
    entries = []
    with tempfile.TemporaryDirectory(prefix="orchestune-sample-") as name:
        sample_layer = layer.write([LayerEntry("sample", b"orchestune cluster test\n")], Path(name, "layer.tar.gz"))
        push_blob(registry, repository, sample_layer.digest, sample_layer.file)
        for platform in PLATFORMS:
            file = Path(name, "config.json")
            file.write_bytes(_configuration(platform, sample_layer.diff_id))
            config = file.read_bytes()
            push_blob(registry, repository, sha256(config), file)
            manifest = compose(config, [sample_layer])
            registry.put_manifest(repository, manifest.digest, manifest)
            platform_fields = {"architecture": platform.architecture, "os": platform.os}
            kind, size = manifest.media_type, len(manifest.body)
            entries.append({"mediaType": kind, "digest": manifest.digest, "size": size, "platform": platform_fields})
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, sort_keys=True).encode()
    digest = registry.put_manifest(repository, TAG, Manifest(OCI_INDEX, body))
    return str(Reference(place.registry, repository, TAG).at(digest))


def _configuration(platform: Platform, diff_id: str) -> bytes:
    document = {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    return json.dumps(document, sort_keys=True).encode()
