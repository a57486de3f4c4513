"""Image manifests and indexes, according to the OCI image specification and Docker's schema 2."""

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
"""node label with the architecture"""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv8l": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Platform:
    """Platform of a node or an image: `linux/amd64`."""

    architecture: str
    os: str = "linux"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of matching nodes; without an architecture, of all nodes with this operating system."""
        architecture_label = {ARCHITECTURE: self.architecture} if self.architecture else {}
        return {"kubernetes.io/os": self.os, **architecture_label}


@dataclass(frozen=True)
class Manifest:
    """A manifest or index as the registry's bytes, to which its digest refers."""

    media_type: str
    body: bytes

    @property
    def digest(self) -> str:
        """Its permanent name."""
        return sha256(self.body)

    @property
    def document(self) -> Mapping[str, Any]:
        """Parsed content. Raises OrchestuneError if it is not a JSON object."""
        try:
            document = json.loads(self.body)
        except ValueError as exc:
            raise OrchestuneError("the registry sent a manifest that is not JSON") from exc
        if not isinstance(document, dict):
            raise OrchestuneError("the registry sent a manifest that is not a JSON object")
        return document

    @property
    def is_index(self) -> bool:
        """True if it lists images of several platforms."""
        return self.media_type in (OCI_INDEX, DOCKER_LIST)

    def listed(self) -> dict[Platform, str]:
        """Return the digests in an index by platform; other entries (attestations) are skipped."""
        digests: dict[Platform, str] = {}
        for entry in self.document.get("manifests") or ():
            platform = entry.get("platform") or {}
            name = Platform(str(platform.get("architecture", "")), str(platform.get("os", "")))
            if name.architecture not in ("", "unknown"):
                digests.setdefault(name, str(entry["digest"]))
        return digests


def parse_platform(text: str) -> Platform:
    """Parse `linux/amd64`, `amd64` or a machine's own `x86_64`; a variant is dropped."""
    os, _, architecture = text.partition("/") if "/" in text else ("linux", "", text)
    architecture = architecture.partition("/")[0]
    return Platform(_ARCHITECTURES.get(architecture, architecture), os)


def sha256(data: bytes) -> str:
    """Return the digest in a registry's notation."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
