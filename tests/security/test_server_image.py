"""Users who may push images to the registry cannot choose the image that the server in a cluster runs."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestune import __version__
from orchestune.images.registries.manifests import OCI_MANIFEST, Manifest
from orchestune.images.registries.registry import Registry
from orchestune.images.runtime import layer, server_image
from orchestune.images.runtime.layer import Layer, LayerEntry

REPOSITORY = "orchestune/server"
EVIL = Manifest(OCI_MANIFEST, b'{"schemaVersion":2,"evil":true}')


class MemoryRegistry(Registry):
    """A registry without a network; `manifests` holds tags and digests."""

    def __init__(self) -> None:
        super().__init__("registry.lab:5000")
        self.manifests: dict[str, Manifest] = {}

    def has_blob(self, repository: str, digest: str) -> bool:
        return True

    def find(self, repository: str, version: str) -> str | None:
        manifest = self.manifests.get(version)
        return manifest.digest if manifest else None

    def put_manifest(self, repository: str, version: str, manifest: Manifest) -> str:
        self.manifests[version] = self.manifests[manifest.digest] = manifest
        return manifest.digest


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the slow layers by a small one; lists the builds."""
    folders: list[str] = []

    def write_layers(folder: Path, say: Callable[[str], Any]) -> list[Layer]:
        folders.append(str(folder))
        return [layer.write([LayerEntry("opt/orchestune", b"server")], folder / "own.tar.gz")]

    monkeypatch.setattr(server_image, "write_layers", write_layers)
    return folders


def test_an_image_planted_under_a_predictable_tag_is_not_deployed(builds: list[str], tmp_path: Path) -> None:
    clean, poisoned = MemoryRegistry(), MemoryRegistry()
    own = server_image.push_server_image(clean, REPOSITORY)
    inputs = server_image.identity()[:20]
    for tag in (*clean.manifests, f"{__version__}-{inputs}"):
        if not tag.startswith("sha256:"):
            poisoned.manifests[tag] = EVIL
    for cache in (None, tmp_path / "digest", tmp_path / "digest"):
        reference = server_image.push_server_image(poisoned, REPOSITORY, cache=cache)
        assert reference == own and reference.digest != EVIL.digest
    assert poisoned.manifests[str(own.digest)].digest == own.digest
    assert len(builds) == 3, "the last call used the cached digest"


def test_the_cached_digest_is_private_and_counts_for_this_installation_alone(
    builds: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, cache = MemoryRegistry(), tmp_path / "digest"
    own = server_image.push_server_image(registry, REPOSITORY, cache=cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o600
    assert server_image.push_server_image(MemoryRegistry(), REPOSITORY, cache=cache) == own
    assert len(builds) == 2, "another registry lacks the image"
    monkeypatch.setattr(server_image, "identity", lambda: "another")
    server_image.push_server_image(registry, REPOSITORY, cache=cache)
    assert len(builds) == 3
    for text in ("", "another", "another sha256:0 more", "\xff\xfe"):
        cache.write_bytes(text.encode("latin-1"))
        assert server_image.push_server_image(registry, REPOSITORY, cache=cache) == own
    assert len(builds) == 7
