"""Executes a notebook as Jupyter does, and prints what its cells showed, as JSON.

It is a separate program, since the libraries of Jupyter warn.

python -m tests.testbeds.notebook NOTEBOOK → [{"type": "stream|display_data|update_display_data|…", "cell", "content"}]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient


class Watched(NotebookClient):
    """Remembers everything that the kernel says, also what a later message replaces."""

    heard: list[dict[str, Any]]

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """As the base does, and remembered."""
        self.heard.append({"type": msg["msg_type"], "cell": cell_index, "content": msg["content"]})
        return super().process_message(msg, cell, cell_index)


def main(path: Path) -> None:
    """Execute it in its folder."""
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = Watched(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}})
    client.heard = []
    client.execute()
    json.dump([item for item in client.heard if item["type"] != "status"], sys.stdout, default=str)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
