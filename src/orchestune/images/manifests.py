"""Manifests of images and lists of them, as the OCI image specification and Docker's schema 2 write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestune.errors import OrchestuneError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST)

ARCHITECTURE = "kubernetes.io/arch"
"""the label of nodes that says it"""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv8l": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Platform:
    """What a node runs: `linux/amd64`."""

    architecture: str
    os: str = "linux"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

    @property
    def labels(self) -> dict[str, str]:
        """Those of the nodes that run it; without an architecture, of all that run such a system."""
        own = {ARCHITECTURE: self.architecture} if self.architecture else {}
        return {"kubernetes.io/os": self.os, **own}


@dataclass(frozen=True)
class Manifest:
    """A document of a registry, byte for byte, since its digest is of the bytes."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        """What it is called for ever."""
        return sha256(self.body)

    @property
    def document(self) -> Mapping[str, Any]:
        """Its content. OrchestuneError when it is none."""
        try:
            document = json.loads(self.body)
        except ValueError as exc:
            raise OrchestuneError("the registry gave a manifest that is no JSON") from exc
        if not isinstance(document, dict):
            raise OrchestuneError("the registry gave a manifest that is no JSON object")
        return document

    @property
    def is_index(self) -> bool:
        """Whether it lists images of several platforms."""
        return self.media_type in (OCI_INDEX, DOCKER_LIST)

    def listed(self) -> dict[Platform, str]:
        """Platform → digest of an index; what is no image (an attestation) is left out."""
        found: dict[Platform, str] = {}
        for entry in self.document.get("manifests") or ():
            platform = entry.get("platform") or {}
            name = Platform(str(platform.get("architecture", "")), str(platform.get("os", "")))
            if name.architecture not in ("", "unknown"):
                found.setdefault(name, str(entry["digest"]))
        return found


def parse_platform(text: str) -> Platform:
    """`linux/amd64`, `amd64` or, as the machine calls itself, `x86_64`; a variant is dropped."""
    os, _, architecture = text.partition("/") if "/" in text else ("linux", "", text)
    architecture = architecture.partition("/")[0]
    return Platform(_ARCHITECTURES.get(architecture, architecture), os)


def sha256(data: bytes) -> str:
    """A digest as registries write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
