"""Pushing and finding on a real registry."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from orchestune.errors import Denied, NotFound
from orchestune.images.registries import upload
from orchestune.images.registries.credentials import Credentials
from orchestune.images.registries.manifests import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Manifest,
    Platform,
    sha256,
)
from orchestune.images.registries.reference import parse
from orchestune.images.registries.registry import Registry
from orchestune.images.registries.upload import push_blob
from tests.integration.images.conftest import serve

pytestmark = pytest.mark.docker
HASHED = "ada:$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"  # open sesame


def nobody(_: str) -> None:
    return None


@pytest.fixture
def client(address: str) -> Iterator[Registry]:
    with Registry(address, find=nobody) as client:
        yield client


def write(path: Path, data: bytes) -> tuple[str, Path]:
    path.write_bytes(data)
    return sha256(data), path


def push_image(client: Registry, folder: Path, repository: str, tag: str, architecture: str) -> Manifest:
    config, config_file = write(folder / "config", json.dumps({"architecture": architecture, "os": "linux"}).encode())
    layer, layer_file = write(folder / "layer", b"not really a layer of " + architecture.encode())
    for digest, file in ((config, config_file), (layer, layer_file)):
        push_blob(client, repository, digest, file)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": config_file.stat().st_size},
        "layers": [{"mediaType": OCI_LAYER, "digest": layer, "size": layer_file.stat().st_size}],
    }
    manifest = Manifest(OCI_MANIFEST, json.dumps(document).encode())
    client.put_manifest(repository, tag, manifest)
    return manifest


def test_a_small_blob_is_sent_once(client: Registry, tmp_path: Path) -> None:
    digest, file = write(tmp_path / "blob", b"small")
    assert push_blob(client, "blobs/small", digest, file) == 5
    assert push_blob(client, "blobs/small", digest, file) == 0
    assert b"".join(client.blob("blobs/small", digest)) == b"small"


def test_a_large_blob_is_sent_in_pieces(client: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "CHUNK_BYTES", 100_000)
    digest, file = write(tmp_path / "blob", os.urandom(350_001))
    methods: list[str] = []

    def call(method: str, path: str, repository: str, **more: Any) -> requests.Response:
        methods.append(method)
        return Registry.call(client, method, path, repository, **more)

    monkeypatch.setattr(client, "call", call)
    assert push_blob(client, "blobs/large", digest, file) == 350_001
    assert methods == ["HEAD", "POST", *["PATCH"] * 4, "PUT"]
    assert hashlib.sha256(b"".join(client.blob("blobs/large", digest))).hexdigest() == digest.partition(":")[2]


def test_an_empty_blob_is_a_blob(client: Registry, tmp_path: Path) -> None:
    digest, file = write(tmp_path / "blob", b"")
    push_blob(client, "blobs/empty", digest, file)
    assert client.has_blob("blobs/empty", digest)


def test_a_tag_is_resolved_to_what_it_means_now(client: Registry, address: str, tmp_path: Path) -> None:
    first = push_image(client, tmp_path, "model", "1", "amd64")
    reference = parse(f"{address}/model:1")
    pinned_reference, platforms = client.resolve(reference)
    assert str(pinned_reference) == f"{address}/model@{first.digest}" and platforms == (Platform("amd64"),)
    assert client.find("model", "1") == first.digest
    moved = push_image(client, tmp_path, "model", "1", "arm64")
    assert client.resolve(reference)[0].digest == moved.digest
    assert client.resolve(pinned_reference)[0] == pinned_reference


def test_an_index_is_resolved_with_all_its_platforms(client: Registry, address: str, tmp_path: Path) -> None:
    images = {name: push_image(client, tmp_path, "many", name, name) for name in ("amd64", "arm64")}
    entries = [
        {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.body),
         "platform": {"architecture": name, "os": "linux"}}
        for name, image in images.items()
    ]  # fmt: skip
    index = Manifest(OCI_INDEX, json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode())
    client.put_manifest("many", "all", index)
    pinned_reference, platforms = client.resolve(parse(f"{address}/many:all"))
    assert pinned_reference.digest == index.digest and platforms == (Platform("amd64"), Platform("arm64"))


def test_what_is_not_there_is_told_by_its_name(client: Registry, address: str) -> None:
    assert client.find("nothing", "1") is None
    with pytest.raises(NotFound, match=f"no image {address}/nothing:1"):
        client.resolve(parse(f"{address}/nothing:1"))


def test_a_registry_with_a_password_takes_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HASHED)
    closed, process = serve(tmp_path, f"auth: {{htpasswd: {{realm: here, path: {tmp_path}/htpasswd}}}}")
    try:
        with Registry(closed, find=lambda name: Credentials("ada", "open sesame")) as client:
            assert push_image(client, tmp_path, "closed", "1", "amd64").digest == client.find("closed", "1")
        for login in (None, Credentials("ada", "open barley")):
            with Registry(closed, find=lambda name, login=login: login) as client:  # type: ignore[misc]
                with pytest.raises(Denied, match=f"{closed} does not let this account"):
                    client.find("closed", "1")
    finally:
        process.terminate()
        process.wait(30)
