"""A temporary login for one push by an image tool, for registries with short-lived passwords that are never stored."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestune.images.registries import credentials
from orchestune.images.registries.ecr import is_ecr
from orchestune.system.private import write_private


@contextmanager
def short_login(registry: str, environ: Mapping[str, str] = os.environ, profile: str = "") -> Iterator[Path | None]:
    """Yield a folder for `DOCKER_CONFIG` whose `config.json` has the login; deleted after the block.

    Yields None if the registry is not ECR, or without a login: the tool then uses its own. Keeps the user's selected
    Docker context.
    """
    login = credentials.find(registry, environ, profile) if is_ecr(registry) else None
    if login is None:
        yield None
        return
    docker_folder = credentials.docker_folder(environ)
    with tempfile.TemporaryDirectory(prefix="orchestune-login-") as name:
        folder = Path(name)
        document = json.loads(credentials.as_docker_config({registry: login}))
        context = _context(docker_folder / "config.json")
        if context:
            document["currentContext"] = context
        if (docker_folder / "contexts").is_dir():
            (folder / "contexts").symlink_to((docker_folder / "contexts").absolute())
        write_private(folder / "config.json", json.dumps(document))
        yield folder


def _context(file: Path) -> str:
    try:
        return str(json.loads(file.read_text()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""
