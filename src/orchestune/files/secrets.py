"""Values of secrets, stored in a folder that only the server's user can read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from orchestune.errors import BadInput
from orchestune.files.disk import disk_errors, make_folder, sync_folder, write_all
from orchestune.files.locked import sweep, temporary_file


class FolderSecrets:
    """A `SecretStore` and `EnvironmentStore`: one file with mode 0600 per experiment, in a folder with mode 0700."""

    def __init__(self, root: Path) -> None:
        self._root = root
        sweep(root)

    def put(self, experiment: str, values: Mapping[str, str]) -> None:
        path = self._path(experiment)
        if not values:
            return self.delete(experiment)
        content = json.dumps(dict(values)).encode()
        with disk_errors(self._root), ExitStack() as stack:
            make_folder(self._root)
            self._root.chmod(0o700)
            handle, temporary = stack.enter_context(temporary_file(self._root))
            write_all(handle, content, 0)
            os.fsync(handle)
            os.replace(temporary, path)
            sync_folder(self._root)

    def get(self, experiment: str) -> dict[str, str]:
        with disk_errors(self._root, reading=True):
            try:
                content = self._path(experiment).read_bytes()
            except FileNotFoundError:
                return {}
        return {str(name): str(value) for name, value in json.loads(content).items()}

    def delete(self, experiment: str) -> None:
        with disk_errors(self._root):
            self._path(experiment).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the experiments with stored values."""
        with disk_errors(self._root, reading=True):
            try:
                return [path.stem for path in self._root.glob("*.json")]
            except FileNotFoundError:
                return []

    def _path(self, experiment: str) -> Path:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", experiment):
            raise BadInput.one("the name of an experiment's secrets is not an experiment's id")
        return self._root / f"{experiment}.json"
