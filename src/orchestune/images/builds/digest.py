"""Content-addressed tags of built images: equal inputs give the same tag, so no image is built twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from orchestune.images.registries.manifests import Platform

_FORMAT = 1
"""incremented if the same inputs produce a different image"""


def tag(dockerfile: str, files: Mapping[str, Path], platform: Platform) -> str:
    """Return a tag for the Dockerfile, which pins its base by digest, and the content of the files in its context."""
    ingredients = {
        "format": _FORMAT,
        "dockerfile": dockerfile,
        "platform": str(platform),
        "files": {name: [_sha256(path), os.access(path, os.X_OK)] for name, path in files.items()},
    }
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
