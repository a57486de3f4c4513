"""A login for one push of an image tool, where the registry gives passwords for hours and nothing may be kept."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestune.images import credentials
from orchestune.images.ecr import is_ecr
from orchestune.system.private import write_private


@contextmanager
def short_login(registry: str, environ: Mapping[str, str] = os.environ, profile: str = "") -> Iterator[Path | None]:
    """A folder with a `config.json` that holds the login, as `DOCKER_CONFIG` names one; gone after the block.

    None where the registry is none of AWS, or where there is no login: the tool uses its own then. The engine that the
    user has chosen stays the one that is meant.
    """
    found = credentials.find(registry, environ, profile) if is_ecr(registry) else None
    if found is None:
        yield None
        return
    usual = credentials.docker_folder(environ)
    with tempfile.TemporaryDirectory(prefix="orchestune-login-") as name:
        folder = Path(name)
        document = json.loads(credentials.as_docker_config({registry: found}))
        context = _context(usual / "config.json")
        if context:
            document["currentContext"] = context
        if (usual / "contexts").is_dir():
            (folder / "contexts").symlink_to((usual / "contexts").absolute())
        write_private(folder / "config.json", json.dumps(document))
        yield folder


def _context(file: Path) -> str:
    try:
        return str(json.loads(file.read_text()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""
