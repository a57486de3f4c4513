"""The file from which remote workers reread the server's address after it has moved."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from orchestune.system.private import write_private

ADDRESS = "address.json"


class ServerAddressFile:
    """A folder that contains only the address: the users of containers may read it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self._url = folder, url
        self._is_written = False
        self._lock = threading.Lock()

    def write(self) -> Path:
        """Write the address, once. Return the folder."""
        with self._lock:
            if not self._is_written:
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.folder.mkdir(exist_ok=True)
                self.folder.chmod(0o755)
                draft = self.folder / f".{ADDRESS}"
                write_private(draft, json.dumps({"url": self._url}))
                draft.chmod(0o644)
                os.replace(draft, self.folder / ADDRESS)
                self._is_written = True
        return self.folder
